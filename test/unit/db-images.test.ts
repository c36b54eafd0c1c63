import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { S3Source } from '#core/source';
import { sqlite } from '#db/drizzle';
import * as schema from '#db/images/schema';
import {
  blob,
  chain,
  chains,
  completeImage,
  digest,
  layer,
  openTestStore,
  options,
  sealedVolume,
  source,
  type TestStore,
} from '../support/image-store.ts';

let store: TestStore;
beforeEach(() => {
  store = openTestStore();
});
afterEach(() => store.close());

const newVolume = (id: string, more: object = {}) => ({
  id,
  driver: 'devmapper' as const,
  chains: chains(2),
  parent: null,
  device: 7,
  sizeBytes: 1024,
  effect: `effect ${id}`,
  ...more,
});

describe('the drizzle schema', () => {
  it('names the tables and columns that the migration makes', () => {
    const tables = Object.values(schema).map((table) => sqlite.getTableConfig(table));
    const made = store.db
      .prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
      .pluck()
      .all() as string[];
    for (const { name, columns, primaryKeys } of tables) {
      assert.ok(made.includes(name), `${name} is not made`);
      const joint = primaryKeys.flatMap((key) => key.columns.map((column) => column.name));
      const described = columns.map((column) => ({
        name: column.name,
        type: column.getSQLType().toUpperCase(),
        // SQLite's own: a primary key of a STRICT table that is not an integer may be null unless said.
        notnull: column.primary || joint.includes(column.name) ? 'key' : column.notNull,
        pk: column.primary || joint.includes(column.name),
      }));
      const info = store.db.pragma(`table_info(${name})`) as {
        name: string;
        type: string;
        notnull: 0 | 1;
        pk: number;
      }[];
      assert.deepEqual(
        described,
        info.map((column) => ({
          name: column.name,
          type: column.type,
          notnull: column.pk > 0 ? 'key' : column.notnull === 1,
          pk: column.pk > 0,
        })),
        name,
      );
    }
  });

  it('has every table of the set', () => {
    const wanted = [
      'activations',
      'blob_sources',
      'blobs',
      'devices_used',
      'image_blobs',
      'image_configs',
      'images',
      'leases',
      'volumes',
    ];
    const named = Object.values(schema).map((table) => sqlite.getTableConfig(table).name);
    assert.deepEqual(named.sort(), wanted);
  });
});

describe('blobs', () => {
  beforeEach(() => store.blobs.record(source, layer(1), blob(1), 10));

  it('are found by the whole place they came from, never by a part of it', () => {
    const { blobs } = store;
    assert.deepEqual(blobs.locate(source, layer(1)), blob(1));
    const askedOtherwise: S3Source = { ...source, anonymous: false, insecure: true };
    assert.deepEqual(blobs.locate(askedOtherwise, layer(1)), blob(1));
    const elsewhere = [
      { ...source, endpoint: 'http://127.0.0.1:9001' },
      { ...source, endpoint: null },
      { ...source, bucket: 'other' },
    ];
    for (const place of elsewhere) assert.equal(blobs.locate(place, layer(1)), null);
    for (const change of [{ key: 'images/f/2.tar' }, { etag: 'etag-2' }, { size: 101 }])
      assert.equal(blobs.locate(source, { ...layer(1), ...change }), null);
  });

  it('are found by their digest wherever that is known, and only by that', () => {
    const { blobs } = store;
    const other = { ...source, bucket: 'mirror' };
    assert.deepEqual(blobs.locate(other, { ...layer(9), digest: digest(1) }), blob(1));
    assert.equal(blobs.locate(source, { ...layer(1), digest: digest(2) }), null);
    assert.equal(blobs.locate(other, { ...layer(9, 99), digest: digest(1) }), null);
  });

  it('move to another digest with the object that was downloaded anew', () => {
    store.blobs.record(source, layer(1), blob(2), 11);
    assert.deepEqual(store.blobs.locate(source, layer(1)), blob(2));
    assert.equal(store.blobs.list().length, 2);
  });

  it('count the layers that they are', () => {
    sealedVolume(store, { id: 'vol-1' });
    completeImage(store, { id: 'img-1' });
    const counted = store.blobs.list().map((row) => [row.digest, row.references]);
    assert.deepEqual(counted, [
      [digest(1), 0],
      [digest('l'), 1],
    ]);
  });
});

describe('volumes', () => {
  it('are chosen once for each effect', () => {
    const { volumes } = store;
    const first = volumes.choose(newVolume('vol-1'), 1);
    const again = volumes.choose(newVolume('vol-2', { effect: 'effect vol-1', device: 8 }), 2);
    assert.equal(again?.id, 'vol-1');
    assert.deepEqual(again, first);
    assert.equal(volumes.isDeviceUsed('devmapper', 8), false);
    assert.equal(
      volumes.plan({ driver: 'devmapper', chains: chains(2), effect: 'effect vol-1' }).kind,
      'chosen',
    );
  });

  it('never use a device number twice, also after the volume is gone', () => {
    const { volumes } = store;
    volumes.choose(newVolume('vol-1'), 1);
    assert.equal(volumes.choose(newVolume('vol-2'), 1), null);
    assert.equal(volumes.discard('vol-1'), true);
    volumes.forget('vol-1');
    assert.equal(volumes.find('vol-1'), null);
    assert.equal(volumes.isDeviceUsed('devmapper', 7), true);
    assert.equal(volumes.choose(newVolume('vol-3'), 1), null);
    assert.equal(volumes.find('vol-3'), null, 'nothing of the refused choice is left');
    assert.equal(volumes.choose(newVolume('vol-4', { device: 8 }), 1)?.device, 8);
  });

  it('keep device numbers apart by driver, and volumes from activations', () => {
    store.volumes.choose(newVolume('vol-1'), 1);
    assert.equal(store.volumes.isDeviceUsed('overlay', 7), false);
    sealedVolume(store, { id: 'vol-2' });
    completeImage(store, { id: 'img-1' });
    const act = { id: 'act-1', image: 'img-1', device: 7, options, mountPoint: '/m/act-1', effect: 'a' };
    assert.equal(store.activations.choose(act, 1)?.device, 7);
    assert.equal(store.volumes.isDeviceUsed('copy', 7), true);
    assert.equal(store.activations.choose({ ...act, id: 'act-2', effect: 'b' }, 1), null);
  });

  it('start from the sealed volume of the longest prefix', () => {
    const { volumes } = store;
    sealedVolume(store, { id: 'vol-1', layers: 1 });
    sealedVolume(store, { id: 'vol-2', layers: 2, parent: 'vol-1' });
    const plan = volumes.plan({ driver: 'copy', chains: chains(4), effect: 'e' });
    assert.equal(plan.kind === 'new' && plan.parent?.id, 'vol-2');
    assert.equal(volumes.plan({ driver: 'overlay', chains: chains(4), effect: 'e' }).kind, 'new');
    assert.equal(volumes.plan({ driver: 'copy', chains: chains(2), effect: 'e' }).kind, 'sealed');
    volumes.choose(
      newVolume('vol-4', { driver: 'copy', chains: chains(4), parent: 'vol-2', device: null }),
      1,
    );
    assert.deepEqual(volumes.tree('vol-4'), {
      id: 'vol-4',
      device: null,
      sizeBytes: 1024,
      parent: {
        id: 'vol-2',
        device: null,
        sizeBytes: null,
        parent: { id: 'vol-1', device: null, sizeBytes: null, parent: null },
      },
    });
  });

  it('are not chosen over a parent that is sealed no more, nor beside a sealed one', () => {
    const { volumes, sweeps } = store;
    sealedVolume(store, { id: 'vol-1', layers: 1 });
    const wanted = newVolume('vol-2', { driver: 'copy', parent: 'vol-1', device: null });
    assert.deepEqual(
      sweeps.doomVolumes().map(({ id }) => id),
      ['vol-1'],
    );
    assert.equal(volumes.choose(wanted, 1), null);
    volumes.forget('vol-1');
    sealedVolume(store, { id: 'vol-3', layers: 2 });
    assert.equal(volumes.choose({ ...wanted, parent: null }, 1), null);
  });

  it('are sealed once for each chain: who comes later learns who won', () => {
    const { volumes } = store;
    const other = store.reopen();
    volumes.choose(newVolume('vol-1'), 1);
    other.volumes.choose(newVolume('vol-2', { device: 8 }), 1);
    assert.equal(other.volumes.seal('vol-2', 2).id, 'vol-2');
    assert.equal(volumes.seal('vol-1', 3).id, 'vol-2');
    assert.equal(volumes.find('vol-1')?.state, 'removing');
    assert.equal(other.volumes.seal('vol-2', 4).state, 'sealed');
    assert.equal(volumes.discard('vol-2'), false, 'a sealed volume is not discarded');
    assert.equal(volumes.find('vol-2')?.state, 'sealed');
    assert.throws(() => volumes.seal('vol-1', 5), { code: 'volume_missing' });
  });
});

describe('images', () => {
  it('are reserved once for each effect, and released unless complete', () => {
    const { images } = store;
    const wanted = { family: 'f', source, driver: 'copy' as const, effect: 'e' };
    assert.equal(images.reserve({ ...wanted, id: 'img-1' }, 1).id, 'img-1');
    assert.equal(images.reserve({ ...wanted, id: 'img-2' }, 2).id, 'img-1');
    assert.equal(images.find('img-1'), null, 'not complete yet');
    images.release('img-1');
    assert.deepEqual(images.list(), []);
    sealedVolume(store, { id: 'vol-1' });
    completeImage(store, { id: 'img-3' });
    images.release('img-3');
    assert.equal(images.find('img-3')?.baseLvId, 'vol-1');
  });

  it('are one row for each family, source, driver and chain, which keeps its id', () => {
    sealedVolume(store, { id: 'vol-1' });
    assert.equal(completeImage(store, { id: 'img-1' }), 'img-1');
    assert.equal(completeImage(store, { id: 'img-2' }), 'img-1');
    assert.equal(completeImage(store, { id: 'img-2' }), 'img-1', 'again, its reservation gone');
    assert.equal(completeImage(store, { id: 'img-3', family: 'g' }), 'img-3');
    const rows = store.images.list();
    assert.deepEqual(
      rows.map(({ id, state, layers }) => [id, state, layers.length]),
      [
        ['img-1', 'complete', 1],
        ['img-3', 'complete', 1],
      ],
    );
    assert.deepEqual(rows[0]?.layers[0], { ...blob('l'), key: 'images/f/l.tar', etag: 'etag-l' });
    assert.equal(rows[0]?.size, 100);
    assert.equal(rows[0]?.rawSize, 300);
  });

  it('take the layers of the last registration', () => {
    sealedVolume(store, { id: 'vol-1' });
    completeImage(store, { id: 'img-1' });
    store.blobs.record(source, layer('zstd'), blob('zstd'), 1);
    const finished = {
      id: 'img-2',
      family: 'f',
      source,
      driver: 'copy' as const,
      chain: chain('0'),
      manifest: null,
      effect: 'r',
    };
    const layers = [{ digest: digest('zstd'), key: 'images/f/zstd.tar', etag: 'e' }];
    assert.deepEqual(store.images.register({ ...finished, layers }, 1), { id: 'img-1', base: 'vol-1' });
    assert.deepEqual(
      store.images.list()[0]?.layers.map(({ digest }) => digest),
      [digest('zstd')],
    );
  });

  it('are not complete without their base or a layer, and then nothing has changed', () => {
    const { images } = store;
    const wanted = { id: 'img-1', family: 'f', source, driver: 'copy' as const };
    images.reserve({ ...wanted, effect: 'e' }, 1);
    const finished = {
      ...wanted,
      chain: chain('0'),
      manifest: null,
      layers: [{ digest: digest(1), key: 'k', etag: 'e' }],
      effect: 'r',
    };
    assert.throws(() => images.register(finished, 1), { code: 'volume_missing', kind: 'unrecoverable' });
    sealedVolume(store, { id: 'vol-1' });
    assert.throws(() => images.register(finished, 1), { code: 'layer_missing', kind: 'unrecoverable' });
    assert.equal(images.list()[0]?.state, 'incomplete');
    assert.equal(store.db.inTransaction, false);
    store.blobs.record(source, layer(1), blob(1), 1);
    assert.deepEqual(images.register(finished, 1), { id: 'img-1', base: 'vol-1' });
  });

  it('are found by id, the start of it, or family', () => {
    sealedVolume(store, { id: 'vol-1' });
    completeImage(store, { id: 'img-aa1', at: 5 });
    sealedVolume(store, { id: 'vol-2', seed: 'x' });
    completeImage(store, { id: 'img-ab2', seed: 'x', at: 9 });
    const found = (text: string) => store.images.search(text)?.id;
    assert.equal(found('img-aa1'), 'img-aa1');
    assert.equal(found('img-aa'), 'img-aa1');
    assert.equal(found('img-a'), undefined);
    assert.equal(found('f'), 'img-ab2', 'the last one used');
    assert.equal(found('img-'), undefined);
  });

  it('are not dropped under an activation', () => {
    sealedVolume(store, { id: 'vol-1' });
    completeImage(store, { id: 'img-1' });
    const act = { id: 'act-1', image: 'img-1', device: null, options, mountPoint: '/m', effect: 'a' };
    store.activations.choose(act, 1);
    assert.deepEqual(store.images.drop('img-1'), ['act-1']);
    store.activations.removing('act-1', 0);
    assert.deepEqual(store.images.drop('img-1'), ['act-1'], 'also while it is being taken down');
    store.activations.forget('act-1');
    assert.deepEqual(store.images.drop('img-1'), []);
    assert.deepEqual(store.images.drop('img-1'), []);
    assert.deepEqual(store.images.list(), []);
    assert.deepEqual(
      store.blobs.list().map(({ references }) => references),
      [0],
    );
  });
});
