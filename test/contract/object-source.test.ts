import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { defaultLimits } from '#core/limits';
import { createBlobStore } from '#infra/blob-store';
import { readManifest } from '#infra/manifest';
import type { ObjectSource } from '#infra/object-source';
import { createS3Source, type S3Options } from '#infra/s3';
import { keys } from '../support/s3/client.ts';
import { foreignServer } from '../support/s3/foreign.ts';
import { failsWith, layerAt, sampleLayer, served, sourceAt, tempFolder } from '../support/s3/served.ts';

interface World {
  source: ReturnType<typeof sourceAt>;
  objects: ObjectSource;
  put: (key: string, body: string | Buffer) => Promise<void>;
}
type Make = (t: TestContext, files: Record<string, string | Buffer>) => Promise<World>;

const sourceFor = (t: TestContext, options: S3Options = {}): ObjectSource => {
  const objects = createS3Source(options);
  t.after(() => objects.close());
  return objects;
};

const embedded =
  (signed: boolean): Make =>
  async (t, files) => {
    const inBucket = Object.fromEntries(Object.entries(files).map(([key, body]) => [`bucket/${key}`, body]));
    const server = await served(t, inBucket, signed ? { credentials: keys } : {});
    return {
      source: sourceAt(server.endpoint, { anonymous: !signed }),
      objects: sourceFor(t, signed ? { credentials: keys } : {}),
      put: async (key, body) => writeFileSync(join(server.dir, 'bucket', key), body),
    };
  };
const foreign: Make = async (t, files) => {
  const { endpoint, put } = await foreignServer(t, files);
  return { source: sourceAt(endpoint), objects: sourceFor(t), put };
};

const servers: [string, Make][] = [
  ['embedded, anonymous', embedded(false)],
  ['embedded, signed', embedded(true)],
  ['s3rver', foreign],
];
const etagOf = (body: string | Buffer) => createHash('md5').update(body).digest('hex');
const read = async (body: AsyncIterable<Buffer>) => {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
};

for (const [name, make] of servers) {
  test(`${name}: a listing has what is directly under the prefix, by the bytes of the keys`, async (t) => {
    const files = {
      'images/go/b': 'bb',
      'images/go/a b+c': 'x',
      'images/go/ü': 'y',
      'images/go/Z': 'z',
      'images/go/deeper/c': 'c',
      'images/golang/d': 'd',
    };
    const { source, objects } = await make(t, files);
    const found = await objects.list(source, 'images/go/');
    assert.deepEqual(found, [
      { key: 'images/go/Z', etag: etagOf('z'), size: 1 },
      { key: 'images/go/a b+c', etag: etagOf('x'), size: 1 },
      { key: 'images/go/b', etag: etagOf('bb'), size: 2 },
      { key: 'images/go/ü', etag: etagOf('y'), size: 1 },
    ]);
    assert.deepEqual(await objects.list(source, 'nothing/'), []);
    await assert.rejects(
      objects.list({ ...source, bucket: 'other-bucket' }, ''),
      failsWith('bucket_missing', 'unrecoverable'),
    );
  });

  test(`${name}: a listing of several pages is read to its end, and no further than allowed`, async (t) => {
    const count = 1234;
    const files = Object.fromEntries(
      Array.from({ length: count }, (_, n) => [`p/${String(n).padStart(5, '0')}`, 'x']),
    );
    const { source, objects } = await make(t, files);
    const found = await objects.list(source, 'p/');
    assert.deepEqual(
      found.map(({ key }) => key),
      Object.keys(files),
    );
    const few = sourceFor(t, { listKeysMax: 1000, ...(source.anonymous ? {} : { credentials: keys }) });
    await assert.rejects(few.list(source, 'p/'), failsWith('limit_exceeded', 'unrecoverable'));
  });

  test(`${name}: an object is read whole, from the middle, and only in the version that is wanted`, async (t) => {
    const body = randomBytes(200_000);
    const { source, objects, put } = await make(t, { 'k/x y': body, small: '{}' });
    const etag = etagOf(body);
    assert.deepEqual(await objects.head(source, 'k/x y'), { key: 'k/x y', etag, size: body.length });

    const whole = await objects.openRange(source, { key: 'k/x y', start: 0, etag });
    assert.deepEqual([whole.etag, whole.size, whole.start], [etag, body.length, 0]);
    assert.deepEqual(await read(whole.body), body);
    const rest = await objects.openRange(source, { key: 'k/x y', start: 150_000, etag });
    assert.deepEqual([rest.size, rest.start], [body.length, 150_000]);
    assert.deepEqual(await read(rest.body), body.subarray(150_000));
    const left = await objects.openRange(source, { key: 'k/x y', start: 0, etag: null });
    for await (const _ of left.body) break;

    await assert.rejects(
      objects.openRange(source, { key: 'k/x y', start: body.length, etag }),
      failsWith('object_changed', 'unrecoverable'),
    );
    await put('k/x y', 'another');
    await assert.rejects(
      objects.openRange(source, { key: 'k/x y', start: 0, etag }),
      failsWith('object_changed', 'unrecoverable'),
    );
    await assert.rejects(
      objects.openRange(source, { key: 'k/x y', start: 3, etag }),
      failsWith('object_changed', 'unrecoverable'),
    );

    assert.equal((await objects.readSmall(source, 'small', 2)).toString(), '{}');
    await assert.rejects(objects.readSmall(source, 'small', 1), failsWith('limit_exceeded', 'unrecoverable'));
    for (const missing of [
      objects.head(source, 'none'),
      objects.openRange(source, { key: 'none', start: 0, etag: null }),
      objects.readSmall(source, 'none', 9),
    ])
      await assert.rejects(missing, failsWith('object_missing', 'pending'));
  });

  test(`${name}: an abort ends a request, and a body in the middle`, async (t) => {
    const { source, objects } = await make(t, { k: randomBytes(8_000_000) });
    const reason = new Error('enough');
    await assert.rejects(objects.list(source, '', { signal: AbortSignal.abort(reason) }), reason);
    const controller = new AbortController();
    const { body } = await objects.openRange(source, { key: 'k', start: 0, etag: null }, controller);
    let bytes = 0;
    const reading = (async () => {
      for await (const chunk of body) {
        bytes += chunk.length;
        controller.abort(reason);
      }
    })();
    await assert.rejects(reading, reason);
    assert.ok(bytes < 8_000_000);
  });

  test(`${name}: a blob is fetched, verified, and continued where it was stopped`, async (t) => {
    const layer = sampleLayer(6_000_000);
    const { source, objects } = await make(t, {
      'f/l.tar.gz': layer.stored,
      'f/manifest.json': '{"layers":[{"name":"l.tar.gz","size":1}]}',
    });
    const [, listed] = [null, (await objects.list(source, 'f/'))[0]];
    assert.deepEqual(listed, { key: 'f/l.tar.gz', etag: layer.etag, size: layer.size });
    assert.deepEqual(await readManifest(objects, { source, prefix: 'f/', limits: defaultLimits }), [
      { key: 'f/l.tar.gz', size: 1, digest: null },
    ]);
    assert.equal(await readManifest(objects, { source, prefix: 'g/', limits: defaultLimits }), null);

    const store = createBlobStore(tempFolder(t));
    const controller = new AbortController();
    const request = {
      source,
      layer: layerAt('f/l.tar.gz', layer),
      partialId: 'p',
      objects,
      limits: defaultLimits,
    };
    const reason = new Error('stopped');
    const onProgress = (done: number) => void (done >= 2_000_000 && controller.abort(reason));
    await assert.rejects(store.fetch({ ...request, signal: controller.signal, onProgress }), reason);
    const [partial] = await store.listPartials();
    assert.ok(partial !== undefined && partial.bytes >= 2_000_000 && partial.bytes < layer.size);
    const progress: number[] = [];
    const blob = await store.fetch({
      ...request,
      signal: new AbortController().signal,
      onProgress: (done) => void progress.push(done),
    });
    assert.ok((progress[0] ?? 0) >= 2_000_000, 'it goes on from what was there');
    const { digest, diffId, size, rawSize } = layer;
    const { fetched, ...facts } = blob;
    assert.deepEqual(facts, {
      digest,
      diffId,
      size,
      rawSize,
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      reused: false,
    });
    assert.ok(fetched >= size);
  });
}
