import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as s3 from '@aws-sdk/client-s3';
import { createChecksum } from '#infra/s3-server/checksums';
import { clientOf, keys, named } from '../support/s3/client.ts';
import { served } from '../support/s3/served.ts';

const Bucket = 'bucket';
const Key = 'dir/large';
const MiB = 1024 * 1024;

/** An upload with these parts, not completed. */
async function begun(
  client: s3.S3Client,
  bodies: Buffer[],
  more: Partial<s3.CreateMultipartUploadCommandInput> = {},
) {
  const { UploadId } = await client.send(new s3.CreateMultipartUploadCommand({ Bucket, Key, ...more }));
  const parts: s3.CompletedPart[] = [];
  for (const [index, Body] of bodies.entries()) {
    const PartNumber = index + 1;
    const algorithm =
      more.ChecksumAlgorithm === undefined ? {} : { ChecksumAlgorithm: more.ChecksumAlgorithm };
    const { $metadata: _, ...sent } = await client.send(
      new s3.UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body, ...algorithm }),
    );
    parts.push({ PartNumber, ETag: sent.ETag });
  }
  const complete = (Parts = parts, extra: Partial<s3.CompleteMultipartUploadCommandInput> = {}) =>
    client.send(
      new s3.CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts }, ...extra }),
    );
  return { UploadId, parts, complete };
}

test('parts become one object with the ETag that AWS gives it', async (t) => {
  const server = await served(t, {}, { credentials: keys });
  const client = clientOf(t, server, keys);
  const bodies = [randomBytes(5 * MiB), randomBytes(6 * MiB), randomBytes(100)];
  const { complete } = await begun(client, bodies, { ContentType: 'text/x', Metadata: { who: 'me' } });
  await assert.rejects(client.send(new s3.HeadObjectCommand({ Bucket, Key })), named('NotFound', 404));
  const done = await complete();
  const md5s = bodies.map((body) => createHash('md5').update(body).digest());
  const etag = `"${createHash('md5').update(Buffer.concat(md5s)).digest('hex')}-3"`;
  assert.equal(done.ETag, etag);
  assert.deepEqual(readFileSync(join(server.dir, Bucket, Key)), Buffer.concat(bodies));
  const head = await client.send(new s3.HeadObjectCommand({ Bucket, Key, IfMatch: etag }));
  assert.deepEqual([head.ETag, head.ContentType, head.Metadata], [etag, 'text/x', { who: 'me' }]);
  const listed = await client.send(new s3.ListObjectsV2Command({ Bucket }));
  assert.deepEqual(
    listed.Contents?.map(({ ETag, Size }) => [ETag, Size]),
    [[etag, 11 * MiB + 100]],
  );
  await assert.rejects(complete(), named('NoSuchUpload', 404));
  assert.deepEqual(readdirSync(join(server.dir, '.flyd-s3', 'uploads')), []);
  assert.deepEqual(readdirSync(join(server.dir, '.flyd-s3', 'tmp')), []);
});

test('the ETag of a multipart object outlives the server', async (t) => {
  const server = await served(t, {}, { partBytesMin: 1 });
  const { complete } = await begun(clientOf(t, server), [Buffer.from('a'), Buffer.from('b')]);
  const { ETag } = await complete();
  assert.match(ETag ?? '', /-2"$/);
  const { startS3Server } = await import('#infra/s3-server');
  const again = await startS3Server({ dir: server.dir });
  t.after(() => again.close());
  assert.equal((await clientOf(t, again).send(new s3.HeadObjectCommand({ Bucket, Key }))).ETag, ETag);
});

test('a part can be sent again, and parts may be left out', async (t) => {
  const server = await served(t, {}, { partBytesMin: 1 });
  const client = clientOf(t, server);
  const { UploadId, parts, complete } = await begun(
    client,
    ['one', 'two', 'three'].map((text) => Buffer.from(text)),
  );
  const again = await client.send(
    new s3.UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 2, Body: 'TWO' }),
  );
  await assert.rejects(complete(), named('InvalidPart', 400));
  await complete([parts[0] ?? {}, { PartNumber: 2, ETag: again.ETag }]);
  assert.equal(readFileSync(join(server.dir, Bucket, Key), 'utf8'), 'oneTWO');
});

test('what cannot be joined is refused, and the upload stays', async (t) => {
  const server = await served(t, {});
  const client = clientOf(t, server);
  const { UploadId, parts, complete } = await begun(client, [Buffer.from('small'), Buffer.from('last')]);
  const [first, second] = parts as [s3.CompletedPart, s3.CompletedPart];
  await assert.rejects(complete(), named('EntityTooSmall', 400));
  await assert.rejects(complete([second, first]), named('InvalidPartOrder', 400));
  await assert.rejects(complete([first, first]), named('InvalidPartOrder', 400));
  await assert.rejects(complete([first, { PartNumber: 9, ETag: first.ETag }]), named('InvalidPart', 400));
  await assert.rejects(complete([{ PartNumber: 1, ETag: '"x"' }]), named('InvalidPart', 400));
  await assert.rejects(complete([]), named('MalformedXML', 400));
  const wrongKey = { Bucket, Key: 'other', UploadId };
  await assert.rejects(client.send(new s3.ListPartsCommand(wrongKey)), named('NoSuchUpload', 404));
  for (const PartNumber of [0, 10_001])
    await assert.rejects(
      client.send(new s3.UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body: 'x' })),
      named('InvalidArgument', 400),
    );
  await complete([second]);
  assert.equal(readFileSync(join(server.dir, Bucket, Key), 'utf8'), 'last');
});

test('completing can be conditional', async (t) => {
  const server = await served(t, { [`bucket/${Key}`]: 'there already' }, { partBytesMin: 1 });
  const client = clientOf(t, server);
  const { complete } = await begun(client, [Buffer.from('new')]);
  await assert.rejects(complete(undefined, { IfNoneMatch: '*' }), named('PreconditionFailed', 412));
  const { ETag } = await client.send(new s3.HeadObjectCommand({ Bucket, Key }));
  await complete(undefined, { IfMatch: ETag });
  assert.equal(readFileSync(join(server.dir, Bucket, Key), 'utf8'), 'new');
});

test('an aborted upload leaves nothing', async (t) => {
  const server = await served(t, {});
  const client = clientOf(t, server);
  const { UploadId, complete } = await begun(client, [Buffer.from('x')]);
  await client.send(new s3.AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
  await assert.rejects(complete(), named('NoSuchUpload', 404));
  await assert.rejects(
    client.send(new s3.UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: 'x' })),
    named('NoSuchUpload', 404),
  );
  assert.deepEqual(readdirSync(join(server.dir, '.flyd-s3', 'uploads')), []);
});

test('parts and uploads are listed in pages', async (t) => {
  const server = await served(t, {});
  const client = clientOf(t, server);
  const { UploadId, parts } = await begun(
    client,
    Array.from({ length: 5 }, (_, n) => Buffer.from(`part ${n}`)),
  );
  const found: unknown[] = [];
  let pages = 0;
  for await (const page of s3.paginateListParts({ client, pageSize: 2 }, { Bucket, Key, UploadId })) {
    found.push(...(page.Parts ?? []).map(({ PartNumber, ETag }) => ({ PartNumber, ETag })));
    pages += 1;
  }
  assert.deepEqual([found, pages], [parts, 3]);

  const others = ['a', 'a', 'b', 'dir/large', 'z+ü'];
  const ids = [UploadId];
  for (const other of others)
    ids.push((await client.send(new s3.CreateMultipartUploadCommand({ Bucket, Key: other }))).UploadId);
  const seen: string[] = [];
  let marker: Partial<s3.ListMultipartUploadsCommandInput> = {};
  for (;;) {
    const page = await client.send(new s3.ListMultipartUploadsCommand({ Bucket, MaxUploads: 2, ...marker }));
    seen.push(...(page.Uploads ?? []).map((upload) => `${upload.Key} ${upload.UploadId}`));
    if (page.IsTruncated !== true) break;
    marker = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
  }
  assert.deepEqual(seen, [
    `a ${ids[1]}`,
    `a ${ids[2]}`,
    `b ${ids[3]}`,
    `dir/large ${ids[0]}`,
    `dir/large ${ids[4]}`,
    `z+ü ${ids[5]}`,
  ]);
  const some = await client.send(new s3.ListMultipartUploadsCommand({ Bucket, Prefix: 'dir/' }));
  assert.equal(some.Uploads?.length, 2);
});

test('checksums of parts and of the whole are checked and kept', async (t) => {
  const server = await served(t, {}, { partBytesMin: 1 });
  const client = clientOf(t, server);
  const bodies = [randomBytes(1000), randomBytes(500)];
  const whole = createChecksum('crc32c');
  for (const body of bodies) whole.update(body);
  const value = whole.digest();
  const full = { ChecksumAlgorithm: 'CRC32C', ChecksumType: 'FULL_OBJECT' } as const;
  const wrong = await begun(client, bodies, full);
  await assert.rejects(
    wrong.complete(undefined, { ChecksumCRC32C: 'AAAAAA==', ChecksumType: 'FULL_OBJECT' }),
    named('BadDigest', 400),
  );
  const done = await wrong.complete(undefined, { ChecksumCRC32C: value, ChecksumType: 'FULL_OBJECT' });
  assert.deepEqual([done.ChecksumCRC32C, done.ChecksumType], [value, 'FULL_OBJECT']);
  const head = await client.send(new s3.HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }));
  assert.deepEqual([head.ChecksumCRC32C, head.ChecksumType], [value, 'FULL_OBJECT']);

  const { complete } = await begun(client, bodies, { ChecksumAlgorithm: 'SHA256' });
  const hashes = bodies.map((body) => createHash('sha256').update(body).digest());
  const composite = `${createHash('sha256').update(Buffer.concat(hashes)).digest('base64')}-2`;
  assert.equal((await complete()).ChecksumSHA256, composite);
  await assert.rejects(
    begun(client, [], { ChecksumAlgorithm: 'SHA256', ChecksumType: 'FULL_OBJECT' }),
    named('InvalidRequest', 400),
  );
});
