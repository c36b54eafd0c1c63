import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { activationChoose } from '#actors/activation-choose';
import { activationRemove } from '#actors/activation-remove';
import { activationSnapshot } from '#actors/activation-snapshot';
import { imageDrop } from '#actors/image-drop';
import { imageReserve } from '#actors/image-reserve';
import { storeSweep } from '#actors/store-sweep';
import { volumeChoose } from '#actors/volume-choose';
import { recoverable } from '#core/errors';
import { hexOf } from '#core/ids';
import type { DriverName } from '#core/image';
import { sweepLease } from '#db/images/index';
import { digest, options } from '../../support/image-store.ts';
import {
  activate,
  chainsOf,
  fetchLayer,
  makeImage,
  openTestParts,
  run,
  type ServedLayer,
  stopsWhenAborted,
  type TestParts,
} from '../../support/parts.ts';

let parts: TestParts;
let layers: [ServedLayer, ServedLayer, ServedLayer];
beforeEach(async () => {
  parts = await openTestParts();
  layers = [
    parts.serve('go', '00.tar.gz', [{ name: 'a', data: 'a' }]),
    parts.serve('go', '01.tar.gz', [{ name: 'b', data: 'b' }]),
    parts.serve('go', '02.tar.gz', [{ name: 'c', data: 'c' }]),
  ];
});
afterEach(() => parts.close());

const sweep = (deps: object = {}) => run(storeSweep({ ...parts, ...deps }), {});
const nothing = { blobs: 0, volumes: 0, activations: 0, partials: 0, bytes: 0 };
const world = () => parts.drivers('copy').inventory();
const blobFiles = () => {
  const folder = join(parts.state, 'blobs/sha256');
  return existsSync(folder) ? readdirSync(folder).map((name) => `sha256:${name}`) : [];
};
const stored = (...of: ServedLayer[]): number => of.reduce((sum, { ref }) => sum + ref.size, 0);

/** A download that was given up. */
async function leavePartial(): Promise<void> {
  const abort = new AbortController();
  const fetching = parts.store.fetch({
    source: parts.source,
    layer: layers[2].ref,
    partialId: 'left-over',
    objects: parts.objects,
    limits: parts.limits,
    signal: abort.signal,
    onProgress: () => abort.abort(new Error('given up')),
  });
  await assert.rejects(fetching);
  assert.equal((await parts.store.listPartials()).length, 1);
}

describe('store.sweep', () => {
  it('leaves what is in use, and takes the rest, once', async () => {
    const kept = await makeImage(parts, [layers[0]], 'kept');
    const { id } = await makeImage(parts, [layers[0], layers[1]]);
    await activate(parts, kept.id);
    assert.deepEqual(await sweep(), nothing);
    await run(imageDrop(parts), { image: id });
    assert.deepEqual(await sweep(), { ...nothing, blobs: 1, volumes: 1, bytes: stored(layers[1]) });
    assert.deepEqual(await sweep(), nothing, 'the second sweep finds nothing');
    assert.deepEqual((await world()).volumes, [kept.base]);
    assert.deepEqual(blobFiles(), [layers[0].blob.digest]);
    assert.equal(parts.leases.holder(sweepLease), null);
  });

  it('keeps the base of an activation, and all below, as long as that lives', async () => {
    const below = await makeImage(parts, [layers[0]], 'below');
    const { id } = await makeImage(parts, [layers[0], layers[1]]);
    const activation = await activate(parts, id);
    await run(imageDrop(parts), { image: below.id });
    assert.deepEqual(await sweep(), nothing, 'the lower volume is a parent');
    await run(activationRemove(parts), { id: activation.id, force: false });
    await run(imageDrop(parts), { image: id });
    assert.deepEqual(await sweep(), {
      ...nothing,
      blobs: 2,
      volumes: 2,
      bytes: stored(layers[0], layers[1]),
    });
    assert.deepEqual(await world(), { volumes: [], activations: [] });
    assert.deepEqual(parts.volumes.list(), []);
  });

  it('leaves everything that a live pull may come to need', async () => {
    await parts.fill.read(parts.state);
    const live = parts.startRun('pull', parts.now());
    await fetchLayer(parts, layers[0]);
    await leavePartial();
    mkdirSync(join(parts.state, 'blobs/sha256'), { recursive: true });
    writeFileSync(parts.store.pathOf(digest('nobody')), 'a blob whose row is still to come');
    const input = { driver: 'copy' as const, chains: chainsOf([layers[0]]), layers: [layers[0].blob] };
    await run(volumeChoose(parts), input);
    await run(imageReserve(parts), {
      driver: 'copy',
      source: parts.source,
      family: 'go',
      layers: [layers[0].ref],
      manifest: null,
    });
    assert.deepEqual(await sweep(), nothing);
    assert.equal(parts.images.list().length, 1);
    assert.equal(blobFiles().length, 2);
    parts.endRun(live);
    const report = await sweep();
    assert.deepEqual({ ...report, bytes: 0 }, { ...nothing, blobs: 2, volumes: 1, partials: 1 });
    assert.ok(report.bytes >= stored(layers[0]));
    assert.deepEqual(parts.images.list(), []);
    assert.deepEqual(parts.volumes.list(), []);
    assert.deepEqual(blobFiles(), []);
    assert.deepEqual(await parts.store.listPartials(), []);
  });

  it('is kept from nothing by the run that it belongs to', async () => {
    await fetchLayer(parts, layers[0]);
    for (const machine of ['sweep', 'remove']) parts.startRun(machine, 1);
    assert.equal((await sweep()).blobs, 1);
  });

  it('takes down activations that were given up half-way', async () => {
    const { id: image } = await makeImage(parts, [layers[0]]);
    const chosen = await run(activationChoose(parts), { image, options }, { effectId: 'a' });
    await run(activationSnapshot(parts), chosen);
    const live = await activate(parts, image);
    assert.deepEqual(await sweep(), { ...nothing, activations: 1 });
    assert.deepEqual(await world(), {
      volumes: parts.volumes.list().map(({ id }) => id),
      activations: [live.id],
    });
    assert.equal(parts.activations.find(chosen.id), null);
  });

  it('takes what is in the world and in no database', async () => {
    const kept = await makeImage(parts, [layers[0]]);
    const live = await activate(parts, kept.id);
    const driver = parts.drivers('copy');
    const stranger = { id: 'vol-00000000000000aa', parent: null, device: null, sizeBytes: null };
    await driver.create(stranger);
    const spec = { ...options, id: 'act-00000000000000aa', base: stranger, device: null };
    await driver.snapshot({ ...spec, mountPoint: join(parts.mountRoot, spec.id) });
    await driver.mount({ ...spec, mountPoint: join(parts.mountRoot, spec.id) });
    writeFileSync(parts.store.pathOf(digest('stranger')), 'bytes');
    assert.deepEqual(await sweep(), { ...nothing, blobs: 1, volumes: 1, activations: 1, bytes: 5 });
    assert.deepEqual(await world(), { volumes: [kept.base], activations: [live.id] });
    assert.equal(existsSync(join(live.rootfs ?? '', 'a')), true);
    assert.equal(readdirSync(parts.mountRoot).includes(spec.id), false);
  });

  it('finishes what an earlier sweep was killed in', async () => {
    const { id, base } = await makeImage(parts, [layers[0]]);
    await run(imageDrop(parts), { image: id });
    parts.leases.acquire(
      { resource: sweepLease, holder: 'dead-process', effect: 'e', now: 1 },
      parts.isAlive,
    );
    const [volume] = parts.sweeps.doomVolumes();
    const [blob] = parts.sweeps.doomBlobs();
    assert.ok(volume !== undefined && blob !== undefined);
    // It had removed them from the world, and not yet from the database; a pull has begun since.
    await parts.drivers('copy').remove(parts.volumes.tree(base));
    await parts.store.removeBlob(blob.digest);
    parts.startRun('pull', parts.now());
    assert.deepEqual(await sweep(), { ...nothing, blobs: 1, volumes: 1, bytes: stored(layers[0]) });
    assert.deepEqual(parts.volumes.list(), []);
    assert.deepEqual(parts.blobs.list(), []);
  });

  it('waits for another one that lives', async () => {
    await fetchLayer(parts, layers[0]);
    const lease = { resource: sweepLease, holder: 'another', effect: 'e', now: 1 };
    parts.leases.acquire(lease, () => true);
    const busy = { code: 'volume_busy', kind: 'recoverable' };
    await assert.rejects(sweep({ isAlive: () => true, patienceMs: 0 }), busy);
    assert.equal(blobFiles().length, 1);
    assert.deepEqual(parts.leases.holder(sweepLease), { holder: 'another', effect: 'e' });
    const swept = sweep({ isAlive: () => true });
    parts.leases.release(lease);
    assert.equal((await swept).blobs, 1);
  });

  it('lists nothing when strangers are to stay', async () => {
    const { id } = await makeImage(parts, [layers[0]]);
    await leavePartial();
    writeFileSync(parts.store.pathOf(digest('nobody')), 'no row tells of it');
    await run(imageDrop(parts), { image: id });
    const store = {
      ...parts.store,
      startListing: () => assert.fail('the blob store was listed'),
      listPartials: () => assert.fail('the downloads were listed'),
    };
    const drivers = (name: DriverName) => ({
      ...parts.drivers(name),
      inventory: () => assert.fail('a driver was asked what it has'),
    });
    const known = storeSweep({ ...parts, store, drivers });
    const one = { ...nothing, blobs: 1, volumes: 1, bytes: stored(layers[0]) };
    assert.deepEqual(await run(known, { strangers: false }), one);
    assert.deepEqual(blobFiles(), [digest('nobody')]);
    assert.equal((await sweep()).blobs, 1, 'the next whole sweep takes it');
  });

  it('goes on past what cannot be removed, then says so', async () => {
    const { id, base } = await makeImage(parts, [layers[0]]);
    await run(imageDrop(parts), { image: id });
    const failing = (name: DriverName) => ({
      ...parts.drivers(name),
      remove: () => Promise.reject(recoverable('command_failed', 'rm did not like it')),
    });
    await assert.rejects(sweep({ drivers: failing }), {
      code: 'command_failed',
      kind: 'recoverable',
      message: /1 things could not be removed: rm did not like it/,
    });
    assert.deepEqual(blobFiles(), [], 'the blob is gone all the same');
    assert.equal(parts.volumes.find(base)?.state, 'removing');
    assert.equal(parts.leases.holder(sweepLease), null);
    assert.deepEqual(await sweep(), { ...nothing, volumes: 1 });
  });

  it('removes no stray volume while a stray activation stands', async () => {
    const removed: string[] = [];
    const drivers = (name: DriverName) => ({
      ...parts.drivers('copy'),
      inventory: async () =>
        name === 'copy'
          ? { volumes: ['vol-00000000000000aa'], activations: ['act-00000000000000aa'] }
          : { volumes: [], activations: [] },
      unmount: () => Promise.reject(recoverable('activation_busy', 'held')),
      remove: async ({ id }: { id: string }) => void removed.push(id),
    });
    await assert.rejects(sweep({ drivers }), { code: 'activation_busy' });
    assert.deepEqual(removed, []);
  });

  it('sets up no driver that has nothing to do', async () => {
    const made: DriverName[] = [];
    const drivers = (name: DriverName) => ({
      ...parts.drivers(name),
      ready: async () => void made.push(name),
    });
    await sweep({ drivers });
    assert.deepEqual(made, []);
    const blind = (name: DriverName) => ({
      ...parts.drivers(name),
      inventory: () => Promise.reject(recoverable('command_missing', `no tools for ${name}`)),
    });
    assert.deepEqual(await sweep({ drivers: blind }), nothing, 'a driver that nobody used may be unusable');
    await makeImage(parts, [layers[0]]);
    await assert.rejects(sweep({ drivers: blind }), { code: 'command_missing' });
  });

  it('stops when told to, also in the middle', async () => {
    await fetchLayer(parts, layers[0]);
    await fetchLayer(parts, layers[1]);
    await stopsWhenAborted(storeSweep(parts), {});
    const abort = new AbortController();
    const store = {
      ...parts.store,
      removeBlob: async (of: Parameters<typeof parts.store.removeBlob>[0]) => {
        abort.abort(new Error('shutdown'));
        return parts.store.removeBlob(of);
      },
    };
    await assert.rejects(run(storeSweep({ ...parts, store }), {}, { signal: abort.signal }), {
      message: 'shutdown',
    });
    assert.equal(blobFiles().length, 1);
    assert.equal(parts.leases.holder(sweepLease), null);
    assert.equal((await sweep()).blobs, 1);
    assert.equal(existsSync(join(parts.state, 'blobs/sha256', hexOf(layers[0].blob.digest))), false);
  });
});
