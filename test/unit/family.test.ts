import assert from 'node:assert/strict';
import { test } from 'node:test';
import { familyPrefix, resolveFamily } from '#core/family';
import { parseDigest } from '#core/ids';
import { defaultLimits } from '#core/limits';
import { failsWith, sourceAt } from '../support/s3/served.ts';

const prefix = 'images/golang/';
const object = (name: string, size = 10, etag = `e-${name}`) => ({ key: `${prefix}${name}`, etag, size });
const named = (name: string, size = 10, digest: ReturnType<typeof parseDigest> = null) => ({
  key: `${prefix}${name}`,
  size,
  digest,
});
const digest = parseDigest(`sha256:${'a'.repeat(64)}`);
const keys = (layers: readonly { key: string }[]) => layers.map(({ key }) => key.slice(prefix.length));
const throwing = (run: () => unknown, code: string, kind: string) =>
  assert.throws(run, failsWith(code, kind));

test('layers are the objects with bytes directly under the prefix, without the manifest', () => {
  const listing = [
    object('manifest.json'),
    object('b.tar'),
    object('a.tar'),
    object('empty', 0),
    object('deeper/c.tar'),
    object(''),
    { key: 'images/golang2/d.tar', etag: 'e', size: 1 },
  ];
  const family = resolveFamily(prefix, listing, null, defaultLimits);
  assert.deepEqual(keys(family.layers), ['a.tar', 'b.tar']);
  assert.deepEqual(family.layers[0], { key: `${prefix}a.tar`, etag: 'e-a.tar', size: 10, digest: null });
  assert.deepEqual([family.absent, family.unlisted], [[], []]);
});

test('the order is that of the bytes of the keys, not of UTF-16', () => {
  const listing = ['\u{1f600}', '\ufb01', 'a', 'Z', '10', '9', 'a.b', 'a-b'].map((name) => object(name));
  const { layers } = resolveFamily(prefix, listing, null, defaultLimits);
  assert.deepEqual(keys(layers), ['10', '9', 'Z', 'a', 'a-b', 'a.b', '\ufb01', '\u{1f600}']);
});

test('a manifest adds digests and tells what is still to come, and changes no order', () => {
  const listing = [object('b'), object('a'), object('extra')];
  const manifest = [named('d'), named('b', 10, digest), named('c'), named('a')];
  const family = resolveFamily(prefix, listing, manifest, defaultLimits);
  assert.deepEqual(keys(family.layers), ['a', 'b', 'extra']);
  assert.deepEqual(
    family.layers.map((layer) => layer.digest),
    [null, digest, null],
  );
  assert.deepEqual(keys(family.absent), ['c', 'd']);
  assert.deepEqual(family.unlisted, [`${prefix}extra`]);
});

test('a family of layers that are all still to come is not an empty one', () => {
  const family = resolveFamily(prefix, [object('manifest.json')], [named('a')], defaultLimits);
  assert.deepEqual([family.layers, keys(family.absent)], [[], ['a']]);
});

test('nothing there, a contradiction and too many layers each have their code', () => {
  throwing(() => resolveFamily(prefix, [], null, defaultLimits), 'family_not_found', 'unrecoverable');
  throwing(
    () => resolveFamily(prefix, [object('manifest.json'), object('z', 0)], [], defaultLimits),
    'family_not_found',
    'unrecoverable',
  );
  throwing(
    () => resolveFamily(prefix, [object('a')], [named('a', 11)], defaultLimits),
    'size_mismatch',
    'unrecoverable',
  );
  const many = Array.from({ length: 127 }, (_, index) => object(`l${index}`));
  assert.equal(resolveFamily(prefix, many, null, defaultLimits).layers.length, 127);
  throwing(
    () => resolveFamily(prefix, many, [named('one-more')], defaultLimits),
    'limit_exceeded',
    'unrecoverable',
  );
});

test('a family name cannot lead out of its prefix', () => {
  assert.equal(familyPrefix(sourceAt('http://127.0.0.1', { prefix: 'images/' }), 'golang'), 'images/golang/');
  for (const name of ['', '..', 'a/b', '-a', 'A', 'a\n', 'x'.repeat(64)])
    throwing(() => familyPrefix(sourceAt('http://127.0.0.1'), name), 'usage', 'unrecoverable');
});
