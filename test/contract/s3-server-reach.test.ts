import assert from 'node:assert/strict';
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as s3 from '@aws-sdk/client-s3';
import { startS3Server } from '#infra/s3-server';
import { clientOf, keys, named, plain } from '../support/s3/client.ts';
import { failsWith, served, tempFolder } from '../support/s3/served.ts';

const Bucket = 'bucket';

test('nothing outside the folder can be reached', async (t) => {
  const outside = tempFolder(t);
  writeFileSync(join(outside, 'secret'), 'secret');
  const server = await served(t, { 'bucket/file': 'inside', 'bucket/sub/x': 'x', 'second/y': 'y' });
  const at = (...parts: string[]) => join(server.dir, ...parts);
  symlinkSync(join(outside, 'secret'), at(Bucket, 'absolute'));
  symlinkSync(
    join('..', '..', outside.slice(outside.lastIndexOf('/') + 1), 'secret'),
    at(Bucket, 'relative'),
  );
  symlinkSync(outside, at(Bucket, 'folder'));
  symlinkSync(outside, at('linkbucket'));
  symlinkSync('file', at(Bucket, 'inner'));
  symlinkSync('loop', at(Bucket, 'loop'));
  symlinkSync('sub', at(Bucket, 'innerfolder'));
  const client = clientOf(t, server);

  const listed = await client.send(new s3.ListObjectsV2Command({ Bucket }));
  assert.deepEqual(
    listed.Contents?.map(({ Key }) => Key),
    ['file', 'inner', 'sub/x'],
  );
  const inner = await client.send(new s3.GetObjectCommand({ Bucket, Key: 'inner' }));
  assert.equal(await inner.Body?.transformToString(), 'inside');
  for (const Key of ['absolute', 'relative', 'folder/secret', 'loop'])
    await assert.rejects(client.send(new s3.GetObjectCommand({ Bucket, Key })), named('NoSuchKey', 404), Key);
  await assert.rejects(
    client.send(new s3.PutObjectCommand({ Bucket, Key: 'folder/new', Body: 'x' })),
    named('InvalidArgument'),
  );
  await assert.rejects(
    client.send(new s3.ListObjectsV2Command({ Bucket: 'linkbucket' })),
    named('NoSuchBucket', 404),
  );
  assert.deepEqual(
    (await client.send(new s3.ListBucketsCommand({}))).Buckets?.map(({ Name }) => Name),
    [Bucket, 'second'],
  );

  for (const path of [
    '/bucket/../../etc/passwd',
    '/bucket/%2e%2e/second/y',
    '/bucket/..%2fsecond%2fy',
    '/bucket//file',
    '/bucket/./file',
    '/bucket/file%00',
    '/../etc/passwd',
    '/.flyd-s3/tmp',
    '/%2e%2e/x',
  ]) {
    const answer = await plain(server.endpoint, 'GET', path);
    assert.equal(answer.status, 404, path);
  }
  const upwards = await plain(
    server.endpoint,
    'PUT',
    '/bucket/%2e%2e/second/new',
    { 'content-length': '1' },
    'x',
  );
  assert.deepEqual([upwards.status, readdirSync(at('second'))], [400, ['y']]);
  assert.equal((await plain(server.endpoint, 'GET', '/bucket/%ff')).status, 400);
  await client.send(new s3.PutObjectCommand({ Bucket, Key: 'absolute', Body: 'replaced' }));
  assert.equal(
    readFileSync(join(outside, 'secret'), 'utf8'),
    'secret',
    'a write replaces a link, it does not follow it',
  );
  for (const [Key, code] of [
    ['file/below', 'InvalidArgument'],
    ['sub', 'InvalidArgument'],
    ['a//b', 'InvalidArgument'],
    ['x'.repeat(300), 'KeyTooLongError'],
    [`${'x/'.repeat(600)}y`, 'KeyTooLongError'],
  ] as const)
    await assert.rejects(
      client.send(new s3.PutObjectCommand({ Bucket, Key, Body: 'x' })),
      named(code),
      Key.slice(0, 20),
    );
});

test('with keys, nothing passes without their signature', async (t) => {
  const server = await served(t, { 'bucket/k': 'x' }, { credentials: keys });
  const get = new s3.GetObjectCommand({ Bucket, Key: 'k' });
  await assert.rejects(clientOf(t, server).send(get), named('AccessDenied', 403));
  await assert.rejects(
    clientOf(t, server, { ...keys, secretAccessKey: 'wrong' }).send(get),
    named('SignatureDoesNotMatch', 403),
  );
  await assert.rejects(
    clientOf(t, server, { ...keys, accessKeyId: 'wrong' }).send(get),
    named('InvalidAccessKeyId', 403),
  );
  await assert.rejects(
    clientOf(t, server, { ...keys, secretAccessKey: 'wrong' }).send(
      new s3.PutObjectCommand({ Bucket, Key: 'new', Body: 'x' }),
    ),
    named('SignatureDoesNotMatch', 403),
  );
  assert.deepEqual(readdirSync(join(server.dir, Bucket)), ['k']);
  await clientOf(t, server, keys).send(get);
  const late = await served(
    t,
    { 'bucket/k': 'x' },
    { credentials: keys, now: () => Date.now() + 20 * 60_000 },
  );
  const client = clientOf(t, late, keys);
  await assert.rejects(client.send(get), named('RequestTimeTooSkewed', 403));
});

test('without keys, only this machine and no web page is answered', async (t) => {
  const server = await served(t, { 'bucket/k': 'x' });
  assert.equal((await plain(server.endpoint, 'GET', '/bucket/k')).status, 200);
  assert.equal(
    (await plain(server.endpoint, 'GET', '/bucket/k', { host: 'rebound.example.org' })).status,
    403,
  );
  assert.equal(
    (await plain(server.endpoint, 'GET', '/bucket/k', { origin: 'https://example.org' })).status,
    403,
  );
  for (const host of ['0.0.0.0', '::', '192.0.2.1'])
    await assert.rejects(startS3Server({ dir: server.dir, host }), failsWith('usage', 'unrecoverable'));
  await assert.rejects(startS3Server({ dir: join(server.dir, 'none') }), failsWith('usage', 'unrecoverable'));
  const { port } = new URL(server.endpoint);
  await assert.rejects(startS3Server({ dir: server.dir, port: Number(port) }), failsWith('system_call'));
});

test('what is not implemented says so, instead of doing something else', async (t) => {
  const server = await served(t, { 'bucket/k': 'x' });
  const client = clientOf(t, server);
  await assert.rejects(
    client.send(new s3.GetObjectAclCommand({ Bucket, Key: 'k' })),
    named('NotImplemented', 501),
  );
  await assert.rejects(
    client.send(new s3.GetObjectTaggingCommand({ Bucket, Key: 'k' })),
    named('NotImplemented', 501),
  );
  await assert.rejects(
    client.send(new s3.GetObjectCommand({ Bucket, Key: 'k', PartNumber: 1 })),
    named('NotImplemented', 501),
  );
  await assert.rejects(
    client.send(new s3.CopyObjectCommand({ Bucket, Key: 'l', CopySource: 'bucket/k' })),
    named('NotImplemented', 501),
  );
  assert.equal((await plain(server.endpoint, 'PATCH', '/bucket/k')).status, 405);
});

test('requests are told to the log, and can be answered by a hook', async (t) => {
  const server = await served(
    t,
    { 'bucket/k': '0123456789' },
    {
      intercept: (request, response) => {
        if (request.url !== '/bucket/broken') return false;
        response.writeHead(503).end();
        return true;
      },
    },
  );
  await plain(server.endpoint, 'GET', '/bucket/k?x=1', { range: 'bytes=2-4' });
  await plain(server.endpoint, 'GET', '/bucket/none');
  await plain(server.endpoint, 'GET', '/bucket/broken');
  const seen = server.log.map(({ method, bucket, key, query, range, status, code, bytes }) => [
    method,
    bucket,
    key,
    query,
    range,
    status,
    code,
    code === null ? bytes : 0,
  ]);
  assert.deepEqual(seen, [
    ['GET', 'bucket', 'k', 'x=1', 'bytes=2-4', 206, null, 3],
    ['GET', 'bucket', 'none', '', null, 404, 'NoSuchKey', 0],
    ['GET', '', '', '', null, 503, null, 0],
  ]);
});
