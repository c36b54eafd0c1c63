import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import * as s3 from '@aws-sdk/client-s3';
import { clientOf, keys, named, plain } from '../support/s3/client.ts';
import { served } from '../support/s3/served.ts';

const md5 = (bytes: Buffer | string) => createHash('md5').update(bytes).digest('hex');
const Bucket = 'bucket';

for (const [how, credentials] of [
  ['anonymous', null],
  ['signed', keys],
] as const) {
  test(`objects are put, seen, ranged and deleted, ${how}`, async (t) => {
    const server = await served(
      t,
      { 'bucket/there.txt': 'was there' },
      credentials === null ? {} : { credentials },
    );
    const client = clientOf(t, server, credentials);
    const Key = 'a/b c/ü+&<>"\'%20/😀.bin';
    const body = randomBytes(300_000);
    const put = await client.send(
      new s3.PutObjectCommand({
        Bucket,
        Key,
        Body: body,
        ContentType: 'text/x',
        Metadata: { who: 'me' },
        CacheControl: 'no-store',
      }),
    );
    assert.equal(put.ETag, `"${md5(body)}"`);
    assert.deepEqual(readFileSync(join(server.dir, Bucket, Key)), body);

    const got = await client.send(new s3.GetObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }));
    assert.deepEqual(Buffer.from((await got.Body?.transformToByteArray()) ?? []), body);
    assert.deepEqual(
      [
        got.ETag,
        got.ContentLength,
        got.ContentType,
        got.CacheControl,
        got.Metadata,
        got.AcceptRanges,
        got.ChecksumCRC32 === put.ChecksumCRC32,
      ],
      [`"${md5(body)}"`, body.length, 'text/x', 'no-store', { who: 'me' }, 'bytes', true],
    );

    const part = await client.send(
      new s3.GetObjectCommand({ Bucket, Key, Range: 'bytes=1000-1999', IfMatch: put.ETag }),
    );
    assert.equal(part.$metadata.httpStatusCode, 206);
    assert.equal(part.ContentRange, `bytes 1000-1999/${body.length}`);
    assert.deepEqual(Buffer.from((await part.Body?.transformToByteArray()) ?? []), body.subarray(1000, 2000));
    await assert.rejects(
      client.send(new s3.GetObjectCommand({ Bucket, Key, Range: `bytes=${body.length}-` })),
      named('InvalidRange', 416),
    );
    await assert.rejects(
      client.send(new s3.GetObjectCommand({ Bucket, Key, IfMatch: '"x"' })),
      named('PreconditionFailed', 412),
    );
    await assert.rejects(
      client.send(new s3.HeadObjectCommand({ Bucket, Key, IfNoneMatch: put.ETag })),
      named('Unknown', 304),
    );

    const head = await client.send(new s3.HeadObjectCommand({ Bucket, Key: 'there.txt' }));
    assert.deepEqual([head.ETag, head.ContentLength], [`"${md5('was there')}"`, 9]);

    await client.send(new s3.DeleteObjectCommand({ Bucket, Key }));
    await client.send(new s3.DeleteObjectCommand({ Bucket, Key }));
    await assert.rejects(client.send(new s3.GetObjectCommand({ Bucket, Key })), named('NoSuchKey', 404));
    assert.deepEqual(
      readdirSync(join(server.dir, Bucket)),
      ['there.txt'],
      'empty folders go with their last object',
    );
    await assert.rejects(client.send(new s3.HeadObjectCommand({ Bucket, Key })), named('NotFound', 404));
    await assert.rejects(
      client.send(new s3.ListObjectsV2Command({ Bucket: 'other' })),
      named('NoSuchBucket', 404),
    );
    assert.deepEqual(readdirSync(join(server.dir, '.flyd-s3', 'tmp')), [], 'no temp file stays');
    assert.deepEqual(readdirSync(join(server.dir, '.flyd-s3', 'meta')), [], 'no metadata stays');
  });
}

test('a body as a stream of unknown bytes comes in signed or unsigned chunks', async (t) => {
  const server = await served(t, {}, { credentials: keys });
  const client = clientOf(t, server, keys);
  const body = randomBytes(3 * 1024 * 1024 + 17);
  for (const algorithm of ['CRC32', 'CRC32C', 'SHA1', 'SHA256'] as const) {
    const put = await client.send(
      new s3.PutObjectCommand({
        Bucket,
        Key: algorithm,
        Body: Readable.from([body.subarray(0, 99), body.subarray(99)]),
        ContentLength: body.length,
        ChecksumAlgorithm: algorithm,
      }),
    );
    assert.ok(put[`Checksum${algorithm}`]);
    assert.deepEqual(readFileSync(join(server.dir, Bucket, algorithm)), body);
  }
});

test('a body that is not what its headers say leaves nothing', async (t) => {
  const server = await served(t, {});
  const client = clientOf(t, server);
  const put = (more: Partial<s3.PutObjectCommandInput>) =>
    client.send(new s3.PutObjectCommand({ Bucket, Key: 'k', Body: 'abc', ...more }));
  await assert.rejects(
    put({ ContentMD5: createHash('md5').update('abd').digest('base64') }),
    named('BadDigest', 400),
  );
  await assert.rejects(put({ ContentMD5: 'AAAA' }), named('InvalidDigest', 400));
  await assert.rejects(put({ ChecksumCRC32: 'AAAAAA==' }), named('BadDigest', 400));
  await assert.rejects(
    put({ ChecksumSHA256: createHash('sha256').update('x').digest('base64') }),
    named('BadDigest', 400),
  );
  const raw = await plain(
    server.endpoint,
    'PUT',
    '/bucket/k',
    { 'x-amz-content-sha256': '0'.repeat(64), 'content-length': '3' },
    'abc',
  );
  assert.match(raw.body, /<Code>XAmzContentSHA256Mismatch</);
  const chunked = await plain(server.endpoint, 'PUT', '/bucket/k', { 'transfer-encoding': 'chunked' }, 'abc');
  assert.deepEqual([chunked.status, /MissingContentLength/.test(chunked.body)], [411, true]);
  assert.deepEqual(readdirSync(join(server.dir, Bucket)), []);
  assert.deepEqual(readdirSync(join(server.dir, '.flyd-s3', 'tmp')), []);
});

test('writes can be conditional, and of many at once only one creates', async (t) => {
  const server = await served(t, {});
  const client = clientOf(t, server);
  const put = (Body: string, more: Partial<s3.PutObjectCommandInput>) =>
    client.send(new s3.PutObjectCommand({ Bucket, Key: 'lease', Body, ...more }));
  const tries = await Promise.allSettled(
    Array.from({ length: 20 }, (_, n) => put(`owner ${n}`, { IfNoneMatch: '*' })),
  );
  assert.equal(tries.filter(({ status }) => status === 'fulfilled').length, 1);
  const { ETag } = await client.send(new s3.HeadObjectCommand({ Bucket, Key: 'lease' }));
  await assert.rejects(put('thief', { IfMatch: '"x"' }), named('PreconditionFailed', 412));
  await put('renewed', { IfMatch: ETag });
  await assert.rejects(put('late', { IfMatch: ETag }), named('PreconditionFailed', 412));
  await assert.rejects(
    client.send(new s3.PutObjectCommand({ Bucket, Key: 'nothing', Body: 'x', IfMatch: '"x"' })),
    named('NoSuchKey', 404),
  );
});

test('ETag and Last-Modified follow the file, whoever changes it', async (t) => {
  const server = await served(t, { 'bucket/f': 'one' });
  const client = clientOf(t, server);
  const path = join(server.dir, Bucket, 'f');
  const head = () => client.send(new s3.HeadObjectCommand({ Bucket, Key: 'f' }));
  assert.equal((await head()).ETag, `"${md5('one')}"`);
  writeFileSync(path, 'two');
  assert.equal((await head()).ETag, `"${md5('two')}"`, 'the same size, perhaps the same tick of the clock');
  utimesSync(path, 1e9, 1e9);
  assert.equal((await head()).LastModified?.getTime(), 1e12);
  await client.send(new s3.PutObjectCommand({ Bucket, Key: 'f', Body: 'three', Metadata: { a: 'b' } }));
  writeFileSync(path, 'edited');
  const edited = await head();
  assert.deepEqual(
    [edited.ETag, edited.Metadata],
    [`"${md5('edited')}"`, {}],
    'metadata does not outlive its version',
  );
});

test('many objects are deleted at once', async (t) => {
  const server = await served(t, { 'bucket/a': '1', 'bucket/b/c': '2', 'bucket/d': '3' });
  const client = clientOf(t, server);
  const done = await client.send(
    new s3.DeleteObjectsCommand({
      Bucket,
      Delete: { Objects: [{ Key: 'a' }, { Key: 'b/c' }, { Key: 'not there <&' }] },
    }),
  );
  assert.deepEqual(
    done.Deleted?.map(({ Key }) => Key),
    ['a', 'b/c', 'not there <&'],
  );
  assert.deepEqual(readdirSync(join(server.dir, Bucket)), ['d']);
  const post = (
    body: string,
    headers: Record<string, string> = { 'content-md5': createHash('md5').update(body).digest('base64') },
  ) =>
    plain(
      server.endpoint,
      'POST',
      '/bucket?delete',
      { 'content-length': String(Buffer.byteLength(body)), ...headers },
      body,
    );
  assert.match(
    (await post('<Delete><Object><Key>d</Key></Object></Delete>', {})).body,
    /<Code>InvalidRequest</,
  );
  for (const bad of [
    '',
    '<Delete>',
    '<Delete/>',
    '<Other><Object><Key>d</Key></Object></Other>',
    '<Delete><Object/></Delete>',
  ])
    assert.match((await post(bad)).body, /<Code>MalformedXML</, bad);
  assert.deepEqual(readdirSync(join(server.dir, Bucket)), ['d']);
});

test('buckets are made and removed', async (t) => {
  const server = await served(t, {});
  const client = clientOf(t, server);
  await client.send(new s3.CreateBucketCommand({ Bucket: 'new-one' }));
  await client.send(new s3.HeadBucketCommand({ Bucket: 'new-one' }));
  await assert.rejects(
    client.send(new s3.CreateBucketCommand({ Bucket: 'new-one' })),
    named('BucketAlreadyOwnedByYou', 409),
  );
  await assert.rejects(
    client.send(new s3.CreateBucketCommand({ Bucket: 'No' })),
    named('InvalidBucketName', 400),
  );
  await client.send(new s3.PutObjectCommand({ Bucket: 'new-one', Key: 'k', Body: '' }));
  await assert.rejects(
    client.send(new s3.DeleteBucketCommand({ Bucket: 'new-one' })),
    named('BucketNotEmpty', 409),
  );
  await client.send(new s3.DeleteObjectCommand({ Bucket: 'new-one', Key: 'k' }));
  await client.send(new s3.DeleteBucketCommand({ Bucket: 'new-one' }));
  await assert.rejects(client.send(new s3.HeadBucketCommand({ Bucket: 'new-one' })), named('NotFound', 404));
});
