import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as s3 from '@aws-sdk/client-s3';
import { clientOf, named } from '../support/s3/client.ts';
import { served } from '../support/s3/served.ts';

const Bucket = 'bucket';

test('a listing of more than a thousand keys comes in pages, in the order of the bytes', async (t) => {
  const names = Array.from(
    { length: 2345 },
    (_, n) => `p/${n % 3 === 0 ? 'dir/' : ''}${(n * 7919).toString(36)}-${n}`,
  );
  const odd = [
    'p/a',
    'p/a.b',
    'p/a-b',
    'p/a0',
    'p/ü',
    'p/\u{ff5e}',
    'p/\u{1f600}',
    'q/outside',
    'P/upper',
    'p/x y+z&<',
  ];
  const all = [...names, ...odd];
  const server = await served(t, Object.fromEntries(all.map((name) => [`bucket/${name}`, 'x'])));
  const client = clientOf(t, server);
  const expected = all
    .filter((name) => name.startsWith('p/'))
    .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

  for (const MaxKeys of [undefined, 97, 100_000]) {
    const found: string[] = [];
    let pages = 0;
    for await (const page of s3.paginateListObjectsV2(
      { client },
      { Bucket, Prefix: 'p/', ...(MaxKeys === undefined ? {} : { MaxKeys }) },
    )) {
      assert.ok((page.Contents?.length ?? 0) <= Math.min(MaxKeys ?? 1000, 1000));
      found.push(...(page.Contents ?? []).map(({ Key }) => Key ?? ''));
      pages += 1;
    }
    assert.deepEqual(found, expected);
    assert.equal(pages, Math.ceil(expected.length / Math.min(MaxKeys ?? 1000, 1000)));
  }

  const older = await client.send(new s3.ListObjectsCommand({ Bucket, Prefix: 'p/', Marker: expected[10] }));
  assert.deepEqual(
    older.Contents?.map(({ Key }) => Key),
    expected.slice(11, 1011),
  );
  const after = await client.send(
    new s3.ListObjectsV2Command({ Bucket, StartAfter: expected[10], MaxKeys: 3, Prefix: 'p/' }),
  );
  assert.deepEqual(
    after.Contents?.map(({ Key }) => Key),
    expected.slice(11, 14),
  );
  const url = await client.send(new s3.ListObjectsV2Command({ Bucket, EncodingType: 'url', Prefix: 'p/x' }));
  assert.ok(url.Contents?.some(({ Key }) => Key === 'p/x+y%2Bz%26%3C'));
  const none = await client.send(new s3.ListObjectsV2Command({ Bucket, MaxKeys: 0 }));
  assert.deepEqual([none.KeyCount, none.IsTruncated], [0, false]);
  await assert.rejects(
    client.send(new s3.ListObjectsV2Command({ Bucket, ContinuationToken: 'x' })),
    named('InvalidArgument', 400),
  );
  await assert.rejects(
    client.send(new s3.ListObjectsV2Command({ Bucket, MaxKeys: -1 })),
    named('InvalidArgument', 400),
  );
});

test('delimiters roll up, page by page', async (t) => {
  const names = ['a', 'b/1', 'b/2', 'b/c/3', 'b-x', 'd/4', 'e', 'f-1', 'f-2', 'g/g/g/g/g/deep'];
  const server = await served(t, Object.fromEntries(names.map((name) => [`bucket/${name}`, 'x'])));
  mkdirSync(join(server.dir, Bucket, 'empty', 'folder'), { recursive: true });
  const client = clientOf(t, server);
  const list = async (query: Partial<s3.ListObjectsV2CommandInput>) => {
    const found: string[] = [];
    for await (const page of s3.paginateListObjectsV2({ client }, { Bucket, ...query })) {
      const one = [
        ...(page.Contents ?? []).map(({ Key }) => Key),
        ...(page.CommonPrefixes ?? []).map(({ Prefix }) => `[${Prefix}]`),
      ];
      assert.equal(page.KeyCount, one.length);
      found.push(...(one as string[]));
    }
    return found;
  };
  for (const MaxKeys of [1, 2, 1000]) {
    const sorted = async (query: Partial<s3.ListObjectsV2CommandInput>) =>
      (await list({ MaxKeys, ...query })).sort();
    assert.deepEqual(await sorted({ Delimiter: '/' }), [
      '[b/]',
      '[d/]',
      '[g/]',
      'a',
      'b-x',
      'e',
      'f-1',
      'f-2',
    ]);
    assert.deepEqual(await sorted({ Delimiter: '/', Prefix: 'b/' }), ['[b/c/]', 'b/1', 'b/2']);
    assert.deepEqual(await sorted({ Delimiter: '/', Prefix: 'b' }), ['[b/]', 'b-x']);
    assert.deepEqual(await sorted({ Delimiter: '-' }), [
      '[b-]',
      '[f-]',
      'a',
      'b/1',
      'b/2',
      'b/c/3',
      'd/4',
      'e',
      'g/g/g/g/g/deep',
    ]);
    assert.deepEqual(await sorted({ Delimiter: '/', StartAfter: 'b/1' }), [
      '[b/]',
      '[d/]',
      '[g/]',
      'e',
      'f-1',
      'f-2',
    ]);
    assert.deepEqual(await sorted({ Delimiter: '/', StartAfter: 'b/c/3' }), [
      '[d/]',
      '[g/]',
      'e',
      'f-1',
      'f-2',
    ]);
  }
});
