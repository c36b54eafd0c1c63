import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { blobFetch } from '#actors/blob-fetch';
import { blobFind } from '#actors/blob-find';
import { blobRecord } from '#actors/blob-record';
import type { Progress } from '#core/effect';
import { downloadIdOf, sweepLease } from '#db/images/index';
import type { FetchedBlob } from '#machines/blob';
import {
  openTestParts,
  run,
  type ServedLayer,
  stopsWhenAborted,
  type TestParts,
  twice,
} from '../../support/parts.ts';

let parts: TestParts;
let layer: ServedLayer;
beforeEach(async () => {
  parts = await openTestParts();
  layer = parts.serve('go', '00.tar.gz', [{ name: 'a', data: 'x'.repeat(50_000) }]);
});
afterEach(() => parts.close());

const input = () => ({ source: parts.source, layer: layer.ref });
const find = (more: object = {}) => twice(blobFind(parts), { ...input(), ...more });
const fetch = () => twice(blobFetch(parts), input());
const record = (blob: FetchedBlob) => twice(blobRecord(parts), { source: parts.source, blob });
const gets = () => parts.log.filter(({ method, key }) => method === 'GET' && key === layer.ref.key);
const fetched = (): FetchedBlob => {
  const { reused: _, ...blob } = layer.blob;
  return blob;
};

describe('a blob that is not there', () => {
  it('is not found, fetched once, recorded, and found', async () => {
    assert.equal(await find(), null);
    assert.deepEqual(await fetch(), fetched());
    assert.equal(gets().length, 1, 'the second run asks for nothing');
    assert.deepEqual(await record(fetched()), layer.blob);
    assert.deepEqual(readFileSync(parts.store.pathOf(layer.blob.digest)), layer.stored);
    assert.deepEqual(await parts.store.listPartials(), []);
    assert.deepEqual(await find(), { ...layer.blob, reused: true, fetched: 0 });
  });

  it('leaves nothing of what a killed fetch had begun to prepare', async () => {
    const wanted = { ...input(), driver: 'erofs' as const };
    await run(blobFetch(parts), wanted); // the result stays in the journal: nothing is prepared again
    const { parts: prepared } = parts.drivers('erofs');
    const folder = join(parts.store.pathOf(layer.blob.digest), '../../../parts/erofs');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${downloadIdOf(parts.source, layer.ref)}.tmp`), 'half');
    assert.equal((await prepared?.list())?.length, 1);
    await run(blobFetch(parts), wanted);
    assert.deepEqual(await prepared?.list(), []);
  });

  it('tells how far its download is', async () => {
    const seen: Progress[] = [];
    await run(blobFetch(parts), input(), { progress: (detail) => void seen.push(detail) });
    assert.deepEqual(seen.at(-1), { done: layer.ref.size, total: layer.ref.size, unit: 'bytes' });
  });

  it('stops when told to', async () => {
    await stopsWhenAborted(blobFind(parts), input());
    await stopsWhenAborted(blobFetch(parts), input());
    await stopsWhenAborted(blobRecord(parts), { source: parts.source, blob: fetched() });
    assert.deepEqual(parts.blobs.list(), []);
    assert.equal(gets().length, 0);
  });

  it('is pending while the bucket does not have it', async () => {
    rmSync(join(parts.bucket, layer.ref.key));
    await assert.rejects(run(blobFetch(parts), input()), { code: 'object_missing', kind: 'pending' });
  });

  it('is not fetched when another run has brought it meanwhile', async () => {
    await fetch();
    await record(fetched());
    const mirrored = {
      source: parts.source,
      layer: { ...layer.ref, key: 'elsewhere', digest: layer.blob.digest },
    };
    const got = await run(blobFetch(parts), mirrored);
    assert.deepEqual(got, { ...fetched(), key: 'elsewhere', fetched: 0 });
    assert.equal((await run(blobRecord(parts), { source: parts.source, blob: got })).reused, true);
  });
});

describe('a blob that is whole', () => {
  beforeEach(async () => {
    await fetch();
    await record(fetched());
  });

  it('is not taken for the same ETag from another bucket', async () => {
    assert.equal(await find({ source: { ...parts.source, bucket: 'evil' } }), null);
    assert.equal(await find({ source: { ...parts.source, endpoint: 'http://127.0.0.1:1' } }), null);
    assert.equal(await find({ layer: { ...layer.ref, key: 'images/go/evil.tar.gz' } }), null);
  });

  it('is taken from anywhere by its digest', async () => {
    const ref = { ...layer.ref, key: 'other', etag: 'other', digest: layer.blob.digest };
    const found = await find({ source: { ...parts.source, bucket: 'mirror' }, layer: ref });
    assert.deepEqual(found, { ...layer.blob, key: 'other', etag: 'other', reused: true, fetched: 0 });
  });

  for (const [what, damage] of [
    ['gone', (path: string) => rmSync(path)],
    ['cut short', (path: string) => truncateSync(path, 10)],
  ] as const)
    it(`heals when its file is ${what}`, async () => {
      const path = parts.store.pathOf(layer.blob.digest);
      damage(path);
      assert.equal(await find(), null);
      assert.deepEqual(await run(blobFetch(parts), input()), fetched());
      // Its row was never gone: a second run finds both, and has no need of the download.
      assert.deepEqual(await run(blobFetch(parts), input()), { ...fetched(), fetched: 0 });
      assert.deepEqual(await record(fetched()), layer.blob);
      assert.deepEqual(readFileSync(path), layer.stored);
      assert.equal((await find())?.reused, true);
    });

  it('says that it is in use, so that no sweep takes it from under a live run', async () => {
    parts.startRun('pull', parts.now());
    await find();
    assert.deepEqual(parts.sweeps.doomBlobs(), []);
  });
});

describe('a blob that a sweep is at', () => {
  const lease = (holder: string) => ({ resource: sweepLease, holder, effect: 'sweep', now: 1 });
  beforeEach(async () => {
    await fetch();
    await record(fetched());
  });

  it('is not relied on while the sweep lives, and fetched again after it', async () => {
    parts.leases.acquire(lease(parts.holder), parts.isAlive);
    assert.equal(parts.sweeps.doomBlobs().length, 1);
    assert.equal(await find(), null);
    await assert.rejects(run(blobFetch(parts), input()), { code: 'layer_missing', kind: 'recoverable' });
    await assert.rejects(run(blobRecord(parts), { source: parts.source, blob: fetched() }), {
      kind: 'recoverable',
    });
    await parts.store.removeBlob(layer.blob.digest);
    parts.sweeps.forgetBlobs([layer.blob.digest]);
    parts.leases.release(lease(parts.holder));
    assert.equal((await fetch()).digest, layer.blob.digest);
    assert.equal((await record(fetched())).digest, layer.blob.digest);
    assert.equal(existsSync(parts.store.pathOf(layer.blob.digest)), true);
  });

  it('is taken back when the sweep has died', async () => {
    parts.leases.acquire(lease('dead-process'), parts.isAlive);
    parts.sweeps.doomBlobs();
    assert.equal(await find(), null);
    assert.equal((await run(blobFetch(parts), input())).digest, layer.blob.digest);
    assert.equal((await record(fetched())).digest, layer.blob.digest);
    assert.equal((await find())?.reused, true);
  });

  it('is fetched again when the dead sweep had removed its file', async () => {
    parts.leases.acquire(lease('dead-process'), parts.isAlive);
    parts.sweeps.doomBlobs();
    await parts.store.removeBlob(layer.blob.digest);
    assert.deepEqual(await run(blobFetch(parts), input()), fetched());
    assert.equal((await find())?.reused, true);
  });
});

describe('a blob whose fetch was over when the process was killed', () => {
  it('is not fetched again', async () => {
    await run(blobFetch(parts), input());
    const before = gets().length;
    assert.deepEqual(await run(blobFetch(parts), input(), { effectId: 'another run' }), fetched());
    assert.equal(gets().length, before);
  });

  it('is recorded when its row was committed, but its journal not removed', async () => {
    await run(blobFetch(parts), input());
    const { key, etag, size } = layer.ref;
    const { digest, diffId, rawSize, mediaType } = layer.blob;
    parts.blobs.record(parts.source, { key, etag, size }, { digest, diffId, size, rawSize, mediaType }, 1);
    await record(fetched());
    assert.deepEqual(await parts.store.listPartials(), []);
  });

  it('is refused when the object is another by now', async () => {
    writeFileSync(join(parts.bucket, layer.ref.key), 'something else');
    await assert.rejects(run(blobFetch(parts), input()), { code: 'object_changed', kind: 'unrecoverable' });
  });
});
