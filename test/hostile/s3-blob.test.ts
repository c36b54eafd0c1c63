import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { digestOfHex } from '#core/ids';
import type { LayerRef } from '#core/image';
import { defaultLimits, type Limits } from '#core/limits';
import type { S3Source as Source } from '#core/source';
import { createBlobStore } from '#infra/blob-store';
import { createS3Source } from '#infra/s3';
import { MS_REMOUNT, mount, umount2 } from '#infra/sys';
import { whyNot } from '../support/needs.ts';
import { liar, writeForever } from '../support/s3/liar.ts';
import {
  failsWith,
  layerAt,
  type SampleLayer,
  sampleLayer,
  served,
  sha256,
  sourceAt,
  tempFolder,
} from '../support/s3/served.ts';

const key = 'f/layer';

/** A fetch of one layer into a store of its own, again and again into the same partial. */
function fetcher(
  t: TestContext,
  { idleMs = 5_000, limits = defaultLimits }: { idleMs?: number; limits?: Limits } = {},
) {
  const dir = tempFolder(t);
  const store = createBlobStore(dir, { checkpointBytes: 256 * 1024 });
  const objects = createS3Source({ idleMs });
  t.after(() => objects.close());
  const fetch = (source: Source, layer: LayerRef, signal = new AbortController().signal) =>
    store.fetch({ source, layer, partialId: 'p', objects, limits, signal });
  /** How many bytes the partial has, null without one. */
  const partial = async () => (await store.listPartials())[0]?.bytes ?? null;
  const blobs = () =>
    existsSync(join(dir, 'blobs', 'sha256')) ? readdirSync(join(dir, 'blobs', 'sha256')) : [];
  return { dir, store, fetch, partial, blobs };
}

/** Answers with the layer as a server should, from the asked byte on. */
function honest(request: IncomingMessage, response: ServerResponse, { stored, etag }: SampleLayer): void {
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const range = start > 0 ? { 'content-range': `bytes ${start}-${stored.length - 1}/${stored.length}` } : {};
  const body = stored.subarray(start);
  response.writeHead(start > 0 ? 206 : 200, { etag: `"${etag}"`, 'content-length': body.length, ...range });
  response.end(body);
}

/** Sends the first bytes of the layer as if all would follow, then cuts the line. */
function cutAfter(response: ServerResponse, { stored, etag }: SampleLayer, bytes: number): void {
  response.writeHead(200, { etag: `"${etag}"`, 'content-length': stored.length });
  response.write(stored.subarray(0, bytes), () => setImmediate(() => response.destroy()));
}

/** A store that has the first part of this layer already: its server has cut the line. */
async function interrupted(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
) {
  const layer = sampleLayer(2_000_000);
  const bench = fetcher(t);
  let first = true;
  const { source, requests } = await liar(t, (request, response) => {
    if (!first) return answer(request, response);
    first = false;
    cutAfter(response, layer, 1_200_000);
  });
  await assert.rejects(
    bench.fetch(source, layerAt(key, layer)),
    failsWith('source_unavailable', 'recoverable'),
  );
  assert.ok(((await bench.partial()) ?? 0) > 0);
  assert.deepEqual(bench.blobs(), []);
  return { ...bench, layer, source, requests, again: () => bench.fetch(source, layerAt(key, layer)) };
}

test('a cut line costs nothing that was there: the next attempt asks for the rest', async (t) => {
  let serve: (request: IncomingMessage, response: ServerResponse) => void = () => {};
  const world = await interrupted(t, (request, response) => serve(request, response));
  serve = (request, response) => honest(request, response, world.layer);
  const had = (await world.partial()) ?? 0;
  const blob = await world.again();
  assert.equal(world.requests[1]?.headers.range, `bytes=${had}-`);
  assert.equal(world.requests[1]?.headers['if-match'], `"${world.layer.etag}"`);
  assert.deepEqual([blob.digest, blob.diffId], [world.layer.digest, world.layer.diffId]);
  assert.ok(blob.fetched >= world.layer.size);
  assert.deepEqual(readFileSync(world.store.pathOf(blob.digest)), world.layer.stored);
});

test('a server that ignores ranges sends everything again, and that is put together right', async (t) => {
  const world = await interrupted(t, (_request, response) => {
    const { stored, etag } = world.layer;
    response.writeHead(200, { etag: `"${etag}"`, 'content-length': stored.length }).end(stored);
  });
  const blob = await world.again();
  assert.equal(blob.digest, world.layer.digest);
  assert.ok(blob.fetched > world.layer.size);
});

test('a server that answers a range with a lie is not believed', async (t) => {
  const lies: [Record<string, string>, string][] = [
    [{ 'content-range': 'bytes 0-99/100' }, 'source_protocol'],
    [{ 'content-range': 'bytes 5-*/*' }, 'source_protocol'],
    [{ 'content-range': 'nonsense' }, 'source_protocol'],
    [{}, 'source_protocol'],
    [{ 'content-range': 'bytes START-LAST/*' }, 'source_protocol'],
    [{ 'content-range': 'bytes START-LAST/SIZE', etag: '"other"' }, 'object_changed'],
    [{ 'content-range': 'bytes START-LAST/SIZE', etag: '' }, 'source_protocol'],
    [{ 'content-range': 'bytes START-9999999/10000000' }, 'object_changed'],
    [{ 'content-range': 'bytes START-LAST/SIZE', 'content-length': '3' }, 'source_protocol'],
  ];
  for (const [headers, code] of lies) {
    const world = await interrupted(t, (request, response) => {
      const start = /\d+/.exec(request.headers.range ?? '')?.[0] ?? '';
      const { size, etag, stored } = world.layer;
      const filled = Object.fromEntries(
        Object.entries({ etag: `"${etag}"`, ...headers }).map(([name, value]) => [
          name,
          value
            .replace('START', start)
            .replace('LAST', String(size - 1))
            .replace('SIZE', String(size)),
        ]),
      );
      response
        .writeHead(206, filled)
        .end(headers['content-length'] === '3' ? 'abc' : stored.subarray(Number(start)));
    });
    await assert.rejects(world.again(), failsWith(code, 'unrecoverable'), JSON.stringify(headers));
    assert.deepEqual(world.blobs(), []);
  }
});

test('an object that changes between two attempts is never mixed', async (t) => {
  const other = sampleLayer(2_000_000);
  const world = await interrupted(t, (request, response) => honest(request, response, other));
  await assert.rejects(world.again(), failsWith('object_changed', 'unrecoverable'));
  assert.deepEqual([await world.partial(), world.blobs()], [null, []], 'what was there is of no use');
});

test('a partial of another bucket, server, key, version or size is not continued', async (t) => {
  const layer = sampleLayer(1_500_000);
  const other = sampleLayer(1_500_000);
  const second = await liar(t, (request, response) => honest(request, response, other));
  const changes: [Partial<Source>, Partial<LayerRef>][] = [
    [{ bucket: 'second' }, {}],
    [{ endpoint: second.source.endpoint }, { etag: other.etag, size: other.size }],
    [{}, { key: 'f/other' }],
    [{}, { etag: 'new' }],
  ];
  for (const [source, ref] of changes) {
    const bench = fetcher(t);
    let first = true;
    const asked = await liar(t, (request, response) => {
      if (first) cutAfter(response, layer, 900_000);
      else honest(request, response, { ...layer, etag: ref.etag ?? layer.etag });
      first = false;
    });
    await assert.rejects(bench.fetch(asked.source, layerAt(key, layer)), failsWith('source_unavailable'));
    const blob = await bench.fetch({ ...asked.source, ...source }, { ...layerAt(key, layer), ...ref });
    assert.equal(blob.digest, source.endpoint === undefined ? layer.digest : other.digest);
    assert.equal([...asked.requests, ...second.requests].at(-1)?.headers.range, undefined);
  }
});

test("another bucket's ETag gives nothing away: bytes are trusted by their digest alone", async (t) => {
  const good = sampleLayer(300_000);
  const evil = { ...sampleLayer(300_000), etag: good.etag };
  const bench = fetcher(t);
  const trusted = await liar(t, (request, response) => honest(request, response, good));
  const hostile = await liar(t, (request, response) => honest(request, response, evil));
  await bench.fetch(trusted.source, layerAt(key, good));
  const blob = await bench.fetch(hostile.source, { ...layerAt(key, good), size: evil.size });
  assert.equal(hostile.requests.length, 1, 'the ETag alone skipped no download');
  assert.deepEqual([blob.digest, blob.reused], [evil.digest, false]);
  assert.deepEqual(bench.blobs().sort(), [good.digest, evil.digest].map((digest) => digest.slice(7)).sort());
  assert.deepEqual(readFileSync(bench.store.pathOf(good.digest)), good.stored);
});

test('a known digest skips the download, and refuses other bytes', async (t) => {
  const layer = sampleLayer(300_000);
  const bench = fetcher(t);
  const { source, requests } = await liar(t, (request, response) => honest(request, response, layer));
  await assert.rejects(
    bench.fetch(source, layerAt(key, layer, digestOfHex('0'.repeat(64)))),
    failsWith('digest_mismatch', 'unrecoverable'),
  );
  assert.deepEqual([await bench.partial(), bench.blobs()], [null, []]);
  await bench.fetch(source, layerAt(key, layer, layer.digest));
  const again = await bench.fetch(source, {
    ...layerAt('elsewhere', layer, layer.digest),
    etag: 'unheard-of',
  });
  assert.deepEqual([again.reused, again.fetched, again.diffId, requests.length], [true, 0, layer.diffId, 2]);
});

test('a blob that has rotted is noticed and fetched again', async (t) => {
  const layer = sampleLayer(300_000);
  const bench = fetcher(t);
  const { source, requests } = await liar(t, (request, response) => honest(request, response, layer));
  await bench.fetch(source, layerAt(key, layer, layer.digest));
  await bench.store.removePartial('p');
  const path = bench.store.pathOf(layer.digest);
  const rotten = Buffer.from(layer.stored);
  rotten[1000] = (rotten[1000] ?? 0) ^ 1;
  writeFileSync(path, rotten);
  await assert.rejects(bench.store.measure(layer.digest, defaultLimits), (error: { code?: string }) =>
    ['digest_mismatch', 'layer_corrupt'].includes(error.code ?? ''),
  );
  const blob = await bench.fetch(source, layerAt(key, layer, layer.digest));
  assert.deepEqual([blob.reused, requests.length], [false, 2]);
  assert.deepEqual(readFileSync(path), layer.stored);
});

test('fewer or more bytes than promised are no blob', async (t) => {
  const layer = sampleLayer(500_000);
  const head = { etag: `"${layer.etag}"` };
  const short = await liar(t, (_request, response) =>
    response.writeHead(200, head).end(layer.stored.subarray(0, 100_000)),
  );
  const one = fetcher(t);
  await assert.rejects(
    one.fetch(short.source, layerAt(key, layer)),
    failsWith('source_unavailable', 'recoverable'),
  );
  assert.deepEqual([await one.partial(), one.blobs()], [100_000, []]);

  const endless = await liar(t, (_request, response) => {
    response.writeHead(200, head).write(layer.stored);
    writeForever(response, Buffer.alloc(64 * 1024));
  });
  const two = fetcher(t);
  await assert.rejects(
    two.fetch(endless.source, layerAt(key, layer)),
    failsWith('size_mismatch', 'unrecoverable'),
  );
  assert.deepEqual([await two.partial(), two.blobs()], [null, []]);

  const longer = await liar(t, (_request, response) =>
    response.writeHead(200, head).end(Buffer.concat([layer.stored, Buffer.alloc(10)])),
  );
  await assert.rejects(
    two.fetch(longer.source, layerAt(key, layer)),
    failsWith('size_mismatch', 'unrecoverable'),
  );
  const other = await liar(t, (_request, response) =>
    response.writeHead(200, { ...head, 'content-length': 7 }).end('7 bytes'),
  );
  await assert.rejects(
    two.fetch(other.source, layerAt(key, layer)),
    failsWith('object_changed', 'unrecoverable'),
  );
  assert.deepEqual([await two.partial(), two.blobs()], [null, []]);
});

test('a stall ends the attempt and keeps what came', async (t) => {
  const layer = sampleLayer(500_000);
  const { source } = await liar(t, (_request, response) => {
    response
      .writeHead(200, { etag: `"${layer.etag}"`, 'content-length': layer.size })
      .write(layer.stored.subarray(0, 200_000));
  });
  const bench = fetcher(t, { idleMs: 300 });
  await assert.rejects(
    bench.fetch(source, layerAt(key, layer)),
    failsWith('source_unavailable', 'recoverable'),
  );
  assert.equal(await bench.partial(), 200_000);
});

test('a body under another Content-Encoding is kept as it was sent', async (t) => {
  const layer = sampleLayer(50_000);
  const { source } = await liar(t, (_request, response) => {
    response
      .writeHead(200, { etag: `"${layer.etag}"`, 'content-length': layer.size, 'content-encoding': 'gzip' })
      .end(layer.stored);
  });
  assert.equal((await fetcher(t).fetch(source, layerAt(key, layer))).digest, layer.digest);
});

test('a layer that is no archive ends the download early and leaves nothing', async (t) => {
  const damaged = Buffer.from(gzipSync(randomBytes(3_000_000)));
  damaged.fill(0x55, 1000, 2000);
  const bomb = gzipSync(Buffer.alloc(100 * 1024 * 1024));
  const cases: [Buffer, string, Partial<Limits>][] = [
    [damaged, 'layer_corrupt', {}],
    [gzipSync(randomBytes(400_000)).subarray(0, -5), 'layer_corrupt', {}],
    [Buffer.concat([gzipSync('x'), Buffer.from('trailing')]), 'layer_corrupt', {}],
    [
      Buffer.concat([Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]), randomBytes(100)]),
      'layer_unsupported',
      {},
    ],
    [bomb, 'limit_exceeded', { inflationGraceBytes: 1024 * 1024 }],
    [randomBytes(1000), 'limit_exceeded', { objectBytesMax: 999 }],
  ];
  for (const [stored, code, limits] of cases) {
    const layer: SampleLayer = {
      ...sampleLayer(1),
      stored,
      size: stored.length,
      etag: 'e',
      digest: digestOfHex(sha256(stored).slice(7)),
    };
    const { source } = await liar(t, (request, response) => honest(request, response, layer));
    const bench = fetcher(t, { limits: { ...defaultLimits, ...limits } });
    await assert.rejects(bench.fetch(source, layerAt(key, layer)), failsWith(code, 'unrecoverable'), code);
    assert.deepEqual([await bench.partial(), bench.blobs()], [null, []], code);
  }
});

test('corrupt bytes stop a download that would never end', async (t) => {
  const damaged = Buffer.concat([gzipSync(randomBytes(1_000_000)), Buffer.from('no gzip member')]);
  const { source } = await liar(t, (_request, response) => {
    response.writeHead(200, { etag: '"e"', 'content-length': 10 ** 10 }).write(damaged);
    writeForever(response, Buffer.alloc(64 * 1024, 7));
  });
  const bench = fetcher(t);
  await assert.rejects(
    bench.fetch(source, { key, etag: 'e', size: 10 ** 10, digest: null }),
    failsWith('layer_corrupt', 'unrecoverable'),
  );
  assert.deepEqual([await bench.partial(), bench.blobs()], [null, []]);
});

test('a full disk keeps what came, and the fetch goes on when there is room', async (t) => {
  const problem = whyNot(['root']);
  if (problem !== null) return t.skip(problem);
  const layer = sampleLayer(2_000_000);
  const { source, requests } = await liar(t, (request, response) => honest(request, response, layer));
  const objects = createS3Source();
  t.after(() => objects.close());
  const mountPoint = tempFolder(t);
  mount('tmpfs', mountPoint, 'tmpfs', 0, 'size=1m');
  try {
    const store = createBlobStore(mountPoint, { checkpointBytes: 256 * 1024 });
    const signal = new AbortController().signal;
    const ref = layerAt(key, layer);
    const request = { source, layer: ref, partialId: 'p', objects, limits: defaultLimits, signal };
    await assert.rejects(store.fetch(request), failsWith('no_space', 'recoverable'));
    assert.equal((await store.startListing()()).length, 0);
    mount('tmpfs', mountPoint, 'tmpfs', MS_REMOUNT, 'size=8m');
    assert.equal((await store.fetch(request)).digest, layer.digest);
    assert.equal(requests.length, 2);
  } finally {
    umount2(mountPoint);
  }
});

test('two fetches of one partial never mix, and a failed one can be tried again', async (t) => {
  const layer = sampleLayer(2_000_000);
  const server = await served(t, { 'bucket/f/layer': layer.stored });
  const bench = fetcher(t);
  const both = await Promise.allSettled([
    bench.fetch(server.source, layerAt(key, layer)),
    bench.fetch(server.source, layerAt(key, layer)),
  ]);
  const [failed] = both.filter((one) => one.status === 'rejected');
  assert.equal(both.filter(({ status }) => status === 'fulfilled').length, 1);
  assert.ok(failsWith('partial_busy', 'recoverable')(failed?.reason));
  const again = await bench.fetch(server.source, layerAt(key, layer));
  assert.equal(again.digest, layer.digest);
  assert.equal(server.log.filter(({ method }) => method === 'GET').length, 1, 'the result is remembered');
});

test('an id of a partial cannot lead anywhere else', async (t) => {
  const { store } = fetcher(t);
  for (const id of ['../x', 'a/b', '', '.', '..', '.hidden', 'x.journal', 'x'.repeat(129), 'a\0b'])
    await assert.rejects(store.removePartial(id), TypeError, id);
  assert.equal(await store.findWhole(digestOfHex('1'.repeat(64)), 1), null);
  assert.equal(await store.removeBlob(digestOfHex('1'.repeat(64))), false);
  await assert.rejects(
    store.measure(digestOfHex('1'.repeat(64)), defaultLimits),
    failsWith('layer_missing', 'unrecoverable'),
  );
  assert.deepEqual([(await store.startListing()()).length, await store.listPartials()], [0, []]);
});

test('a server that is not there costs nothing but the attempt', async (t) => {
  const bench = fetcher(t);
  await assert.rejects(
    bench.fetch(sourceAt('http://127.0.0.1:1'), layerAt(key, sampleLayer(10))),
    failsWith('source_unavailable', 'recoverable'),
  );
  assert.deepEqual(bench.blobs(), []);
});
