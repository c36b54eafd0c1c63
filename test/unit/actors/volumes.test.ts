import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { blobFetch } from '#actors/blob-fetch';
import { blobRecord } from '#actors/blob-record';
import { volumeChoose } from '#actors/volume-choose';
import { volumeCreate } from '#actors/volume-create';
import { volumeDiscard } from '#actors/volume-discard';
import { volumeSeal } from '#actors/volume-seal';
import { volumeUnpack } from '#actors/volume-unpack';
import type { Progress } from '#core/effect';
import type { DriverName, LayerBlob } from '#core/image';
import {
  chainsOf,
  openTestParts,
  run,
  type ServedLayer,
  stopsWhenAborted,
  type TestParts,
  twice,
} from '../../support/parts.ts';

let parts: TestParts;
let layers: ServedLayer[];
beforeEach(async () => {
  parts = await openTestParts();
  layers = [
    parts.serve('go', '00.tar.gz', [
      { name: 'etc/', mode: 0o750 },
      { name: 'etc/a', data: 'from the first' },
      { name: 'etc/gone', data: 'x' },
    ]),
    parts.serve('go', '01.tar.gz', [{ name: 'etc/a', data: 'from the second' }, { name: 'etc/.wh.gone' }]),
  ];
  for (const { ref } of layers) {
    const blob = await run(blobFetch(parts), { source: parts.source, layer: ref });
    await run(blobRecord(parts), { source: parts.source, blob });
  }
});
afterEach(() => parts.close());

const blobs = (): LayerBlob[] => layers.map(({ blob }) => blob);
const wanted = (count = layers.length, driver: DriverName = 'copy') => ({
  driver,
  chains: chainsOf(layers.slice(0, count)),
  layers: blobs().slice(0, count),
});
const choose = (count?: number, effectId = 'run-1/choose/1') =>
  twice(volumeChoose(parts), wanted(count), { effectId });
const create = (id: string) => twice(volumeCreate(parts), { driver: 'copy', id });
const seal = (id: string) => twice(volumeSeal(parts), { driver: 'copy', id });
const discard = (id: string) => twice(volumeDiscard(parts), { driver: 'copy', id });
const filling = (id: string, from = 0) => ({ driver: 'copy' as const, id, layers: blobs().slice(from) });
const unpack = (id: string, from = 0) => twice(volumeUnpack(parts), filling(id, from));
const folder = (id: string) => join(parts.state, 'volumes/copy', id);
const rootfs = (id: string) => join(folder(id), 'rootfs');

/** As far as a run comes with a volume of the first layers. */
async function make(count?: number, from = 0, effectId?: string): Promise<string> {
  const { id } = await choose(count, effectId);
  await create(id);
  await run(volumeUnpack(parts), { ...filling(id), layers: blobs().slice(from, count) });
  await seal(id);
  return id;
}

function assertWhole(id: string): void {
  assert.deepEqual(readdirSync(rootfs(id)), ['etc']);
  assert.deepEqual(readdirSync(join(rootfs(id), 'etc')), ['a']);
  assert.equal(readFileSync(join(rootfs(id), 'etc/a'), 'utf8'), 'from the second');
}

describe('volume.choose', () => {
  it('commits a new volume once for each effect', async () => {
    const chosen = await choose();
    assert.deepEqual({ ...chosen, id: '' }, { id: '', sealed: false, inherited: 0 });
    assert.equal(parts.volumes.find(chosen.id)?.state, 'creating');
    assert.notEqual((await choose(2, 'run-2/choose/1')).id, chosen.id);
    assert.equal(parts.volumes.list().length, 2);
  });

  it('finds the sealed one, and says that it is in use', async () => {
    const id = await make();
    parts.startRun('volume', parts.now());
    assert.deepEqual(await choose(2, 'run-2/choose/1'), { id, sealed: true, inherited: 2 });
    assert.deepEqual(parts.sweeps.doomVolumes(), []);
  });

  it('starts from the longest sealed prefix', async () => {
    const below = await make(1);
    const { id, inherited } = await choose(2, 'run-2/choose/1');
    assert.equal(inherited, 1);
    assert.equal(parts.volumes.find(id)?.parent, below);
  });

  it('takes another device number when one was taken from under its feet', async () => {
    const numbers = [5, 5, 6];
    const drivers = () => ({
      ready: async () => {},
      parts: null,
      chooseDevice: async () => numbers.shift() ?? null,
      chooseSize: () => 1024,
    });
    const deps = { ...parts, drivers };
    const first = await run(volumeChoose(deps), wanted(), { effectId: 'a' });
    const second = await run(volumeChoose(deps), wanted(1), { effectId: 'b' });
    assert.equal(parts.volumes.find(first.id)?.device, 5);
    assert.equal(parts.volumes.find(second.id)?.device, 6);
  });

  it('does not go on for ever', async () => {
    const drivers = () => ({
      ready: async () => {},
      parts: null,
      chooseDevice: async () => 5,
      chooseSize: () => null,
    });
    await run(volumeChoose({ ...parts, drivers }), wanted(), { effectId: 'a' });
    await assert.rejects(run(volumeChoose({ ...parts, drivers }), wanted(1), { effectId: 'b' }), {
      code: 'volume_busy',
      kind: 'recoverable',
    });
  });

  it('stops when told to', () => stopsWhenAborted(volumeChoose(parts), wanted()));
});

describe('a volume', () => {
  it('is created, filled in order, and sealed', async () => {
    const { id } = await choose();
    await create(id);
    assert.equal(parts.volumes.find(id)?.state, 'created');
    const report = await unpack(id);
    assert.equal(report.entries > 0 && report.bytes > 0, true);
    await seal(id);
    assert.equal(parts.volumes.find(id)?.state, 'sealed');
    assertWhole(id);
  });

  it('goes on from its parent', async () => {
    await make(1, 0, 'run-0/choose/1');
    const { id, inherited } = await choose();
    await create(id);
    assert.equal(readFileSync(join(rootfs(id), 'etc/a'), 'utf8'), 'from the first');
    await unpack(id, inherited);
    await seal(id);
    assertWhole(id);
  });

  it('tells how far the filling is, over all layers', async () => {
    const { id } = await choose();
    await create(id);
    const seen: Progress[] = [];
    await run(volumeUnpack(parts), filling(id), { progress: (detail) => void seen.push(detail) });
    const total = blobs().reduce((sum, blob) => sum + blob.rawSize, 0);
    assert.deepEqual(seen.at(-1), { done: total, total, unit: 'unpacked', note: layers[1]?.ref.key });
  });

  it('is made anew when an earlier call was killed while it filled it', async () => {
    const { id } = await choose();
    await create(id);
    await parts.fill.write(folder(id), { volume: id, report: null });
    writeFileSync(join(rootfs(id), 'half'), 'written by the one that was killed');
    await unpack(id);
    assertWhole(id);
  });

  it('is not touched when an earlier call had filled it', async () => {
    const { id } = await choose();
    await create(id);
    const report = await unpack(id);
    writeFileSync(join(rootfs(id), 'witness'), '');
    assert.deepEqual(await run(volumeUnpack(parts), filling(id)), report);
    assert.equal(existsSync(join(rootfs(id), 'witness')), true);
  });

  it('is made anew after an abort in the middle', async () => {
    const { id } = await choose();
    await create(id);
    const abort = new AbortController();
    const unpackThenAbort: typeof parts.unpack = async (options) => {
      const applied = await parts.unpack(options);
      abort.abort(new Error('shutdown'));
      return applied;
    };
    const deps = { ...parts, unpack: unpackThenAbort };
    await assert.rejects(run(volumeUnpack(deps), filling(id), { signal: abort.signal }), {
      message: 'shutdown',
    });
    assert.equal((await parts.fill.read(folder(id)))?.report, null);
    await unpack(id);
    assertWhole(id);
  });

  it('is not called full when what was written did not reach the disk', async () => {
    const { id } = await choose();
    await create(id);
    const failing = {
      ...parts.fill,
      watch: async (root: string) => ({
        ...(await parts.fill.watch(root)),
        sync: () => Promise.reject(new Error('EIO')),
      }),
    };
    await assert.rejects(run(volumeUnpack({ ...parts, fill: failing }), filling(id)), { message: 'EIO' });
    assert.equal((await parts.fill.read(folder(id)))?.report, null);
  });

  it('says which layer is missing, before it touches anything', async () => {
    const { id } = await choose();
    await create(id);
    const [first] = blobs();
    assert.ok(first !== undefined);
    rmSync(parts.store.pathOf(first.digest));
    await assert.rejects(run(volumeUnpack(parts), filling(id)), {
      code: 'layer_missing',
      subject: first.digest,
    });
    assert.equal(await parts.fill.read(folder(id)), null);
  });

  it('is not filled with bytes that rotted', async () => {
    const { id } = await choose();
    await create(id);
    const [first] = blobs();
    assert.ok(first !== undefined);
    const path = parts.store.pathOf(first.digest);
    const rotten = readFileSync(path);
    rotten.writeUInt8(rotten.readUInt8(30) ^ 0xff, 30);
    writeFileSync(path, rotten);
    await assert.rejects(run(volumeUnpack(parts), filling(id)), {
      kind: 'unrecoverable',
      subject: first.key,
    });
  });

  it('tells the layer and the entry that it stumbled over', async () => {
    const bad = parts.serve('go', '02.tar.gz', [{ name: 'etc/.wh.' }]);
    const { id } = await choose();
    await create(id);
    await run(blobFetch(parts), { source: parts.source, layer: bad.ref });
    await assert.rejects(run(volumeUnpack(parts), { ...filling(id), layers: [...blobs(), bad.blob] }), {
      kind: 'unrecoverable',
      code: 'layer_hostile',
      message: `${bad.ref.key}: etc/.wh.: a whiteout of no name, or of the directory itself`,
      subject: 'etc/.wh.',
      facts: { layer: bad.ref.key, digest: bad.blob.digest },
    });
  });

  it('in overlay form never holds two layers', async () => {
    const { id } = await choose();
    await create(id);
    const drivers = (name: DriverName) => {
      const driver = parts.drivers(name);
      return {
        ...driver,
        open: async () => ({ ...(await driver.open(parts.volumes.tree(id))), form: 'overlay' as const }),
      };
    };
    await assert.rejects(run(volumeUnpack({ ...parts, drivers }), filling(id)), { code: 'volume_missing' });
  });

  it('is created anew, clean, when the first call was killed half-way', async () => {
    const { id } = await choose();
    await parts.drivers('copy').create(parts.volumes.tree(id));
    writeFileSync(join(rootfs(id), 'left'), 'over');
    await create(id);
    assert.deepEqual(readdirSync(rootfs(id)), []);
  });

  it('that is sealed is neither created anew nor discarded', async () => {
    const id = await make();
    await create(id);
    await discard(id);
    assertWhole(id);
    assert.equal(parts.volumes.find(id)?.state, 'sealed');
  });

  it('that was sealed second goes away, and the first stays', async () => {
    const { id: second } = await choose(2, 'run-2/choose/1');
    await create(second);
    await unpack(second);
    const first = await make(2, 0, 'run-1/choose/1');
    await run(volumeSeal(parts), { driver: 'copy', id: second });
    assert.equal(existsSync(folder(second)), false);
    await seal(second);
    assert.equal(parts.volumes.find(second), null);
    assert.equal(existsSync(folder(second)), false);
    assertWhole(first);
    assert.equal(parts.volumes.find(first)?.state, 'sealed');
  });

  it('that lost is removed when the first call was killed before that', async () => {
    const { id: second } = await choose(2, 'run-2/choose/1');
    await create(second);
    await make(2, 0, 'run-1/choose/1');
    parts.volumes.seal(second, 1);
    await seal(second);
    assert.equal(existsSync(folder(second)), false);
    assert.equal(parts.volumes.find(second), null);
  });

  it('is discarded, whatever had been made of it', async () => {
    const never = await choose(2, 'a');
    await discard(never.id);
    const half = await choose(2, 'b');
    await create(half.id);
    parts.volumes.discard(half.id);
    await discard(half.id);
    const filled = await choose(2, 'c');
    await create(filled.id);
    await unpack(filled.id);
    await discard(filled.id);
    assert.deepEqual(parts.volumes.list(), []);
    assert.deepEqual(await parts.drivers('copy').inventory(), { volumes: [], activations: [] });
    await assert.rejects(run(volumeCreate(parts), { driver: 'copy', id: filled.id }), {
      code: 'volume_missing',
    });
  });

  it('is left alone by those who are told to stop', async () => {
    const { id } = await choose();
    await stopsWhenAborted(volumeCreate(parts), { driver: 'copy', id });
    await stopsWhenAborted(volumeUnpack(parts), filling(id));
    await stopsWhenAborted(volumeSeal(parts), { driver: 'copy', id });
    await stopsWhenAborted(volumeDiscard(parts), { driver: 'copy', id });
    assert.equal(parts.volumes.find(id)?.state, 'creating');
    assert.equal(existsSync(folder(id)), false);
  });
});
