import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultLimits } from '#core/limits';
import { parseManifest } from '#infra/manifest';
import { failsWith } from '../support/s3/served.ts';

const prefix = 'images/golang/';
const digest = `sha256:${'0'.repeat(64)}`;
const parse = (json: unknown, limits = defaultLimits) =>
  parseManifest(Buffer.from(typeof json === 'string' ? json : JSON.stringify(json)), prefix, limits);

test('a layer is named by its name or its whole key', () => {
  assert.deepEqual(
    parse({
      layers: [
        { name: 'a', size: 1, digest },
        { key: `${prefix}b`, size: 2 },
        { name: 'c', size: 3, digest: null },
      ],
    }),
    [
      { key: `${prefix}a`, size: 1, digest },
      { key: `${prefix}b`, size: 2, digest: null },
      { key: `${prefix}c`, size: 3, digest: null },
    ],
  );
});

test('the array alone is a manifest, and unknown fields are ignored', () => {
  assert.deepEqual(parse([{ name: 'a', size: 1, note: 'x' }]), [
    { key: `${prefix}a`, size: 1, digest: null },
  ]);
  assert.deepEqual(parse({ version: 1, layers: [] }), []);
});

test('what is no manifest is refused', () => {
  const layer = { name: 'a', size: 1 };
  const bad: unknown[] = [
    '',
    'nonsense',
    Buffer.from([0xff, 0xfe]).toString('latin1'),
    null,
    7,
    {},
    { layers: {} },
    { layers: [{ size: 1 }] },
    { layers: [{ ...layer, key: `${prefix}a` }] },
    { layers: [{ ...layer, size: 0 }] },
    { layers: [{ ...layer, size: 1.5 }] },
    { layers: [{ ...layer, size: '1' }] },
    { layers: [{ ...layer, size: 2 ** 60 }] },
    { layers: [{ ...layer, digest: 'sha256:ABC' }] },
    { layers: [{ ...layer, digest: `md5:${'0'.repeat(32)}` }] },
    { layers: [layer, layer] },
    { layers: [layer, { key: `${prefix}a`, size: 1 }] },
    { layers: [{ name: '../golang2/a', size: 1 }] },
    { layers: [{ name: 'deeper/a', size: 1 }] },
    { layers: [{ name: 'manifest.json', size: 1 }] },
    { layers: [{ key: 'elsewhere/a', size: 1 }] },
    { layers: [{ key: prefix, size: 1 }] },
  ];
  for (const json of bad)
    assert.throws(() => parse(json), failsWith('manifest_invalid', 'unrecoverable'), JSON.stringify(json));
});

test('bytes that are no UTF-8 are refused, not replaced', () => {
  const bytes = Buffer.concat([
    Buffer.from('{"layers":[{"name":"'),
    Buffer.from([0xff]),
    Buffer.from('","size":1}]}'),
  ]);
  assert.throws(() => parseManifest(bytes, prefix, defaultLimits), failsWith('manifest_invalid'));
});

test('the message says where the fault is', () => {
  assert.throws(() => parse({ layers: [{ name: 'a', size: -1 }] }), /layers\.0\.size/);
});

test('bytes and layers are limited', () => {
  assert.throws(
    () => parse({ layers: [] }, { ...defaultLimits, manifestBytesMax: 5 }),
    failsWith('limit_exceeded'),
  );
  const layers = Array.from({ length: 128 }, (_, index) => ({ name: `l${index}`, size: 1 }));
  assert.throws(() => parse({ layers }), failsWith('limit_exceeded', 'unrecoverable'));
});
