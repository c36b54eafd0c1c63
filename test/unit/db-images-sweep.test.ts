import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { matchRecords, nameBytes } from '#core/blob-files';
import { hexOf } from '#core/ids';
import { sweepLease } from '#db/images/index';
import {
  blob,
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

/** What a garbage collection may take, and what it must leave: decided by rows and runs alone. */
let store: TestStore;
beforeEach(() => {
  store = openTestStore();
});
afterEach(() => store.close());

const doomedVolumes = (): string[] => store.sweeps.doomVolumes().map(({ id }) => id);
const doomedBlobs = (): string[] => store.sweeps.doomBlobs().map((row) => row.digest);
const ids = (rows: { id: string }[]): string[] => rows.map(({ id }) => id);
const pulls = ['pull', 'image', 'blob', 'volume', 'activate'];
const alive = () => true;
const dead = () => false;

describe('blobs', () => {
  it('stay while a complete image has them', () => {
    sealedVolume(store, { id: 'vol-1' });
    completeImage(store, { id: 'img-1' });
    store.blobs.record(source, layer(1), blob(1), 0);
    assert.deepEqual(doomedBlobs(), [digest(1)]);
    store.images.drop('img-1');
    assert.deepEqual(doomedBlobs().sort(), [digest(1), digest('l')].sort());
  });

  for (const machine of pulls)
    it(`stay when a live ${machine} run may rely on them`, () => {
      store.blobs.record(source, layer('old'), blob('old'), 10);
      const run = store.startRun(machine, 20);
      store.blobs.record(source, layer('new'), blob('new'), 20);
      assert.deepEqual(doomedBlobs(), [digest('old')]);
      store.sweeps.forgetBlobs([digest('old')]);
      store.endRun(run);
      assert.deepEqual(doomedBlobs(), [digest('new')]);
    });

  it('stay when a live run found them', () => {
    store.blobs.record(source, layer(1), blob(1), 10);
    store.startRun('pull', 20);
    assert.equal(store.blobs.touch(digest(1), 25), true);
    assert.deepEqual(doomedBlobs(), []);
  });

  it('stay when a clock that was set back touched them', () => {
    store.blobs.record(source, layer(1), blob(1), 10);
    store.startRun('blob', 5_000);
    store.blobs.touch(digest(1), 20);
    assert.deepEqual(doomedBlobs(), []);
  });

  it('stay when the run that touched them is over, but a live one joined it', () => {
    const child = store.startRun('blob', 10);
    store.blobs.record(source, layer(1), blob(1), 12);
    const parent = store.startRun('image', 20);
    store.linkRuns(parent, child);
    store.endRun(child);
    assert.deepEqual(doomedBlobs(), []);
    store.endRun(parent);
    assert.deepEqual(doomedBlobs(), [digest(1)]);
  });

  it('do not stay for the runs that sweep', () => {
    store.blobs.record(source, layer(1), blob(1), 10);
    for (const machine of ['sweep', 'remove', 'deactivate']) store.startRun(machine, 5);
    assert.deepEqual(doomedBlobs(), [digest(1)]);
  });

  it('that are doomed are found by nobody, and finished by the next sweep', () => {
    store.blobs.record(source, layer(1), blob(1), 10);
    assert.deepEqual(doomedBlobs(), [digest(1)]);
    assert.equal(store.blobs.locate(source, layer(1)), null);
    assert.equal(store.blobs.find(digest(1)), null);
    assert.equal(store.blobs.touch(digest(1), 99), false);
    assert.throws(() => store.blobs.record(source, layer(1), blob(1), 99), { kind: 'recoverable' });
    const other = store.reopen();
    assert.deepEqual(
      other.sweeps.doomBlobs().map((row) => row.digest),
      [digest(1)],
    );
    other.sweeps.forgetBlobs([digest(1)]);
    assert.deepEqual(store.blobs.list(), []);
    assert.equal(store.db.prepare('SELECT count(*) FROM blob_sources').pluck().get(), 0);
  });

  it('that are doomed are taken back only from a sweep that is dead', () => {
    const { blobs, leases } = store;
    const lease = { resource: sweepLease, holder: 'sweeper', effect: 'e', now: 1 };
    blobs.record(source, layer(1), blob(1), 10);
    leases.acquire(lease, alive);
    doomedBlobs();
    assert.equal(blobs.claim(digest(1), 20, alive), false);
    assert.equal(blobs.claim(digest(1), 20, dead), true);
    assert.deepEqual(blobs.find(digest(1)), blob(1));
    assert.equal(blobs.claim(digest(2), 20, alive), true, 'no row: nobody is at it');
  });

  it('are not taken back from the sweep that took over from the dead one', () => {
    const { blobs, leases } = store;
    const other = store.reopen();
    blobs.record(source, layer(1), blob(1), 10);
    leases.acquire({ resource: sweepLease, holder: 'first', effect: 'e', now: 1 }, alive);
    doomedBlobs();
    const meanwhile = (holder: string) => {
      if (holder === 'first')
        other.leases.acquire({ resource: sweepLease, holder: 'second', effect: 'f', now: 2 }, dead);
      return holder === 'second';
    };
    assert.equal(blobs.claim(digest(1), 20, meanwhile), false);
    assert.equal(blobs.find(digest(1)), null);
  });

  it('keep a row that was taken back', () => {
    store.blobs.record(source, layer(1), blob(1), 10);
    doomedBlobs();
    store.blobs.claim(digest(1), 20, dead);
    store.sweeps.forgetBlobs([digest(1)]);
    assert.deepEqual(store.blobs.find(digest(1)), blob(1));
  });
});

describe('volumes', () => {
  it('stay as base, as parent of one that stays, and under an activation', () => {
    sealedVolume(store, { id: 'vol-1', layers: 1 });
    sealedVolume(store, { id: 'vol-2', layers: 2, parent: 'vol-1' });
    sealedVolume(store, { id: 'vol-b', layers: 1, seed: 'x' });
    completeImage(store, { id: 'img-1', seed: 'x' });
    store.activations.choose(
      { id: 'act-1', image: 'img-1', device: null, options, mountPoint: '/m', effect: 'a' },
      1,
    );
    const run = store.startRun('volume', 20);
    store.volumes.choose(
      {
        id: 'vol-3',
        driver: 'copy',
        chains: chains(3),
        parent: 'vol-2',
        device: null,
        sizeBytes: null,
        effect: 'v',
      },
      21,
    );
    assert.deepEqual(doomedVolumes(), []);
    store.endRun(run);
    assert.deepEqual(doomedVolumes(), ['vol-3', 'vol-2', 'vol-1'], 'each before its parent');
    assert.equal(store.volumes.find('vol-b')?.state, 'sealed');
  });

  it('stay under an activation also when the image has another base by now', () => {
    for (const [id, seed] of [
      ['vol-1', ''],
      ['vol-2', 'x'],
    ] as const)
      sealedVolume(store, { id, seed });
    completeImage(store, { id: 'img-1' });
    store.activations.choose(
      { id: 'act-1', image: 'img-1', device: null, options, mountPoint: '/m', effect: 'a' },
      1,
    );
    store.db.prepare(`UPDATE images SET base_lv_id = 'vol-2'`).run();
    assert.deepEqual(doomedVolumes(), []);
    store.activations.removing('act-1', 0);
    store.activations.forget('act-1');
    assert.deepEqual(doomedVolumes(), ['vol-1']);
  });

  it('that are doomed stay doomed until they are forgotten', () => {
    sealedVolume(store, { id: 'vol-1', layers: 1 });
    sealedVolume(store, { id: 'vol-2', layers: 2, parent: 'vol-1' });
    assert.deepEqual(doomedVolumes(), ['vol-2', 'vol-1']);
    assert.equal(store.volumes.plan({ driver: 'copy', chains: chains(2), effect: 'e' }).kind, 'new');
    store.startRun('pull', 50);
    assert.deepEqual(doomedVolumes(), ['vol-2', 'vol-1']);
    store.volumes.forget('vol-2');
    assert.deepEqual(doomedVolumes(), ['vol-1']);
    store.volumes.forget('vol-1');
    assert.deepEqual(store.volumes.list(), []);
  });

  it('that a live run is discarding are left to it, with what they stand on', () => {
    sealedVolume(store, { id: 'vol-1', layers: 1 });
    store.startRun('volume', 20);
    store.volumes.choose(
      {
        id: 'vol-2',
        driver: 'copy',
        chains: chains(2),
        parent: 'vol-1',
        device: null,
        sizeBytes: null,
        effect: 'v',
      },
      21,
    );
    store.volumes.discard('vol-2');
    assert.deepEqual(doomedVolumes(), []);
    assert.equal(store.volumes.find('vol-1')?.state, 'sealed');
  });

  it('stay when a live run found or sealed them', () => {
    sealedVolume(store, { id: 'vol-1', at: 1 });
    store.startRun('volume', 20);
    store.volumes.touch('vol-1', 21);
    sealedVolume(store, { id: 'vol-2', seed: 'x', at: 22 });
    assert.deepEqual(doomedVolumes(), []);
  });

  it('half-made without a live run go', () => {
    store.volumes.choose(
      {
        id: 'vol-1',
        driver: 'copy',
        chains: chains(1),
        parent: null,
        device: null,
        sizeBytes: null,
        effect: 'v',
      },
      1,
    );
    assert.deepEqual(doomedVolumes(), ['vol-1']);
  });
});

describe('reservations and activations', () => {
  it('a reservation goes when no live run can be its', () => {
    const reserve = (id: string, at: number) =>
      store.images.reserve({ id, family: 'f', source, driver: 'copy', effect: id }, at);
    reserve('img-old', 10);
    const run = store.startRun('image', 20);
    reserve('img-new', 21);
    assert.deepEqual(store.sweeps.dropReservations(), ['img-old']);
    store.endRun(run);
    sealedVolume(store, { id: 'vol-1' });
    completeImage(store, { id: 'img-whole' });
    assert.deepEqual(store.sweeps.dropReservations(), ['img-new']);
    assert.equal(store.images.find('img-whole')?.state, 'complete');
  });

  it('activations that were left half-way go, when no run moves any', () => {
    sealedVolume(store, { id: 'vol-1' });
    completeImage(store, { id: 'img-1' });
    const choose = (id: string) =>
      store.activations.choose(
        { id, image: 'img-1', device: null, options, mountPoint: `/m/${id}`, effect: id },
        1,
      );
    for (const id of ['act-1', 'act-2', 'act-3']) choose(id);
    store.activations.record({ id: 'act-2', path: null, rootfs: null, device: null, driver: 'copy' });
    store.activations.removing('act-3', 0);
    for (const machine of ['activate', 'deactivate', 'pull']) {
      const run = store.startRun(machine, 50);
      assert.deepEqual(store.sweeps.doomActivations(), [], machine);
      store.endRun(run);
    }
    store.startRun('remove', 60);
    assert.deepEqual(ids(store.sweeps.doomActivations()), ['act-1', 'act-3']);
    assert.equal(store.activations.find('act-2')?.state, 'active');
  });

  it('strangers are those that no row tells of', () => {
    sealedVolume(store, { id: 'vol-1' });
    store.blobs.record(source, layer(1), blob(1), 1);
    assert.deepEqual(store.sweeps.strangers('volumes', ['vol-1', 'vol-2']), ['vol-2']);
    assert.deepEqual(store.sweeps.strangers('activations', ['act-1']), ['act-1']);
    const files = Buffer.from([1, 2].map((n) => hexOf(digest(n))).join(''));
    assert.deepEqual(matchRecords(files, store.sweeps.blobNames(), nameBytes).strangers, [
      { place: 1, digest: digest(2) },
    ]);
  });
});
