import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Digest } from '#core/ids';
import { type Census, invariants, judge, lasting, type Picture, type World } from '#core/invariants';

/** Each invariant holds in a sound picture, and each is broken by its own small change, and told by name. */

const digest = `sha256:${'a'.repeat(64)}` as Digest;
const volume = {
  driver: 'devmapper',
  chain: 'c1',
  layers: 1,
  parent: null,
  device: 1,
  state: 'sealed',
} as const;
const options = {
  name: null,
  sizeBytes: null,
  readOnly: false,
  suid: false,
  dev: false,
  owner: null,
  attach: 'mount',
} as const;

const census: Census = {
  images: [{ id: 'img-1', state: 'complete', driver: 'devmapper', chain: 'c2', base: 'vol-2' }],
  brokenLayers: [],
  volumes: [
    { id: 'vol-1', ...volume },
    { id: 'vol-2', ...volume, chain: 'c2', layers: 2, parent: 'vol-1', device: 2 },
  ],
  activations: [
    {
      ...{ id: 'act-1', image: 'img-1', volume: 'vol-2', driver: 'devmapper', device: 3, state: 'active' },
      ...{ options, mountPoint: '/mnt/act-1', path: '/mnt/act-1' },
    },
  ],
  blobs: new Map([[digest, 7]]),
  devicesUsed: [1, 2, 3].map((device) => ({ driver: 'devmapper', device })),
  live: [],
  engineFaults: [],
};

const world: World = {
  blobs: new Map([[digest, 7]]),
  partials: [],
  inventory: {
    devmapper: { volumes: ['vol-1', 'vol-2'], activations: ['act-1'] },
    overlay: { volumes: [], activations: [] },
    copy: { volumes: [], activations: [] },
  } as unknown as World['inventory'],
  mounted: ['act-1'],
  pool: {
    mapped: ['act-1'],
    records: [
      { id: 'vol-1', device: 1 },
      { id: 'vol-2', device: 2 },
      { id: 'act-1', device: 3 },
    ],
    devices: [1, 2, 3],
    shared: false,
  },
};

const other = `sha256:${'b'.repeat(64)}` as Digest;
const [image, volumes, activation, pool] = [
  census.images[0],
  census.volumes,
  census.activations[0],
  world.pool,
];
assert.ok(image && activation && pool);
const inventory = (volumeIds: string[], activationIds: string[]) => ({
  ...world.inventory,
  devmapper: { volumes: volumeIds, activations: activationIds },
});

type Change = { census?: Partial<Census>; world?: Partial<World> };
const changed = (change: Change): Picture => ({
  census: { ...census, ...change.census },
  world: { ...world, ...change.world },
});

/** One change for each invariant, and whom it is told about. */
const cases: Record<string, [Change, string]> = {
  'engine-consistent': [{ census: { engineFaults: ['run 1: it has ended and has effects'] } }, 'runs'],
  'image-has-base': [{ census: { images: [{ ...image, chain: 'c9' }] } }, 'img-1'],
  'image-has-layers': [{ census: { brokenLayers: [{ image: 'img-1', digest: other }] } }, 'img-1'],
  'blob-has-file': [{ world: { blobs: new Map([[digest, 6]]) } }, digest],
  'volume-parents': [
    { census: { volumes: volumes.map((row) => (row.id === 'vol-2' ? { ...row, layers: 1 } : row)) } },
    'vol-2',
  ],
  'volume-exists': [{ world: { inventory: inventory(['vol-2'], ['act-1']) } }, 'vol-1'],
  'activation-stands': [{ world: { inventory: inventory(['vol-1', 'vol-2'], []) } }, 'act-1'],
  'activation-mounted': [{ world: { mounted: ['act-1', 'act-1'] } }, 'act-1'],
  'mount-known': [{ world: { mounted: ['act-1', 'act-9'] } }, 'act-9'],
  'devices-differ': [{ census: { devicesUsed: [{ driver: 'devmapper', device: 1 }] } }, 'vol-2'],
  'pool-records': [
    {
      world: {
        pool: {
          ...pool,
          records: pool.records.map((r) => (r.id === 'vol-1' ? { ...r, device: 4 } : r)),
          devices: null,
        },
      },
    },
    'vol-1',
  ],
  'pool-devices': [{ world: { pool: { ...pool, devices: [1, 2, 3, 8] } } }, '8'],
  'blob-known': [{ world: { blobs: new Map([...world.blobs, [other, 1]]) } }, other],
  'partial-needed': [{ world: { partials: ['p1'] } }, 'p1'],
  'world-known': [{ world: { inventory: inventory(['vol-1', 'vol-2', 'vol-9'], ['act-1']) } }, 'vol-9'],
  'rows-settled': [{ census: { images: [image, { ...image, id: 'img-2', state: 'incomplete' }] } }, 'img-2'],
};

describe('the invariants', () => {
  it('hold in a sound picture', () => {
    assert.deepEqual(judge(changed({}), 'broken'), []);
    assert.deepEqual(judge(changed({}), 'leftover'), []);
  });

  for (const { name, level } of invariants)
    it(`${name} is broken by its own change, and says of whom`, () => {
      const [change, subject] = cases[name] ?? [];
      assert.ok(change, `no case for ${name}`);
      const found = judge(changed(change), level);
      assert.ok(
        found.some((violation) => violation.invariant === name && violation.subject === subject),
        JSON.stringify(found),
      );
      assert.ok(
        found.every((violation) => violation.invariant === name),
        JSON.stringify(found),
      );
    });

  it('let be what a live run is at', () => {
    const live = [{ machine: 'deactivate', key: 'act-1' }];
    assert.deepEqual(judge(changed({ census: { live }, world: { mounted: [] } }), 'broken'), []);
    const pulling = [{ machine: 'pull', key: null }];
    const busy = { partials: ['p1'], blobs: new Map([...world.blobs, [other, 1]]) };
    assert.deepEqual(judge(changed({ census: { live: pulling }, world: busy }), 'leftover'), []);
  });

  it("blame nobody for others' devices in a pool that is shared", () => {
    const shared = { ...pool, shared: true, devices: [1, 2, 3, 8] };
    assert.deepEqual(judge(changed({ world: { pool: shared } }), 'broken'), []);
  });
});

it('only what is wrong in both pictures lasts', () => {
  const violation = (subject: string) => ({ invariant: 'blob-has-file', subject, says: '', fix: null });
  assert.deepEqual(lasting([violation('a'), violation('b')], [violation('b'), violation('c')]), [
    violation('b'),
  ]);
});
