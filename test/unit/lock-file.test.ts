import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type DiffId, type Digest, digestOfHex } from '#core/ids';
import type { LayerBlob, LayerRef } from '#core/image';
import { enforceLock, type Lock, lockOf, readLockFile, writeLockFile } from '#infra/lock-file';
import { failsWith, sourceAt, tempFolder } from '../support/s3/served.ts';

const digest = (digit: string): Digest => digestOfHex(digit.repeat(64));
const source = sourceAt('https://s3.example.org', { prefix: 'images/' });
const blob = (name: string, digit: string): LayerBlob => ({
  key: `images/f/${name}`,
  etag: `etag-${name}`,
  size: 10,
  digest: digest(digit),
  diffId: digest('f') as string as DiffId,
  rawSize: 20,
  mediaType: 'application/vnd.oci.image.layer.v1.tar',
  reused: false,
  fetched: 10,
});
const ref = (name: string, more: Partial<LayerRef> = {}): LayerRef => ({
  key: `images/f/${name}`,
  etag: 'another etag is fine',
  size: 10,
  digest: null,
  ...more,
});
const lock: Lock = lockOf(source, 'f', [blob('a', '1'), blob('b', '2')]);

test('a lock survives its file, which holds no secret and nothing that changes by itself', async (t) => {
  const path = join(tempFolder(t), 'flyd.lock');
  assert.equal(await readLockFile(path), null);
  await writeLockFile(path, lock);
  assert.deepEqual(await readLockFile(path), lock);
  assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), {
    source: { endpoint: 'https://s3.example.org', bucket: 'bucket', prefix: 'images/' },
    family: 'f',
    layers: [
      { key: 'images/f/a', size: 10, digest: digest('1') },
      { key: 'images/f/b', size: 10, digest: digest('2') },
    ],
  });
  assert.equal(statSync(path).mode & 0o777, 0o644);
  await writeLockFile(path, { ...lock, layers: lock.layers.slice(1) });
  assert.equal((await readLockFile(path))?.layers.length, 1);
  assert.deepEqual(readdirSync(join(path, '..')), ['flyd.lock'], 'no temp file stays');
});

test('a file that is no lock is refused and left alone', async (t) => {
  const path = join(tempFolder(t), 'flyd.lock');
  const layer = { key: 'a', size: 1, digest: digest('1') };
  const bad: unknown[] = [
    '',
    '{',
    [],
    { ...lock, layers: [] },
    { ...lock, more: 1 },
    { ...lock, layers: [{ ...layer, digest: 'sha256:1' }] },
    { ...lock, layers: [{ ...layer, digest: null }] },
    { ...lock, layers: [{ ...layer, size: -1 }] },
    { source: lock.source, layers: [layer] },
  ];
  for (const content of bad) {
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    writeFileSync(path, text);
    await assert.rejects(readLockFile(path), failsWith('lock_invalid', 'unrecoverable'));
    assert.equal(readFileSync(path, 'utf8'), text);
  }
  writeFileSync(path, ' '.repeat(5 * 1024 * 1024));
  await assert.rejects(readLockFile(path), failsWith('lock_invalid'));
});

test('what cannot be read or written says so', async (t) => {
  const folder = tempFolder(t);
  await assert.rejects(readLockFile(folder), failsWith('system_call'));
  await assert.rejects(writeLockFile(join(folder, 'missing', 'flyd.lock'), lock), failsWith('system_call'));
});

test('a family that fits gets the digests of the lock', () => {
  assert.deepEqual(
    enforceLock(lock, 'f', [ref('a'), ref('b', { digest: digest('2') })]).map(({ etag, digest }) => [
      etag,
      digest,
    ]),
    [
      ['another etag is fine', digest('1')],
      ['another etag is fine', digest('2')],
    ],
  );
});

test('every difference is a mismatch that names the layer', () => {
  const cases: [LayerRef[], RegExp][] = [
    [[ref('a')], /has this layer, the source does not/],
    [[ref('a'), ref('b'), ref('c')], /the lock file does not/],
    [[ref('a'), ref('c')], /source does not/],
    [[ref('b'), ref('a')], /in the place of this layer/],
    [[ref('a'), ref('b', { size: 11 })], /has 11 bytes, the lock file says 10/],
    [[ref('a'), ref('b', { digest: digest('3') })], /manifest gives the digest/],
    [[ref('a'), ref('a'), ref('b')], /in the place of this layer/],
  ];
  for (const [layers, message] of cases) {
    const enforce = () => enforceLock(lock, 'f', layers);
    assert.throws(enforce, failsWith('lock_mismatch', 'unrecoverable'));
    assert.throws(enforce, message);
    assert.throws(enforce, (error: { subject?: string }) => /^images\/f\/[abc]$/.test(error.subject ?? ''));
  }
  assert.throws(() => enforceLock(lock, 'g', [ref('a'), ref('b')]), failsWith('lock_mismatch'));
});
