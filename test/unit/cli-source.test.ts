import assert from 'node:assert/strict';
import { test } from 'node:test';
import { familyOf, sourceOf } from '#cli/source';
import { FlydError } from '#core/errors';

const given = {
  source: 's3://images',
  endpoint: null,
  region: 'us-east-1',
  anonymous: false,
  insecure: false,
};
const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return error instanceof FlydError ? error.code : String(error);
  }
  return 'nothing was wrong';
};

test('the same place is the same source, however it is written', () => {
  const one = sourceOf({ ...given, source: 's3://images/layers', endpoint: 'http://127.0.0.1:9000' });
  const two = sourceOf({ ...given, source: 's3://images/layers/', endpoint: 'http://127.0.0.1:9000/' });
  assert.deepEqual(one, two);
  assert.equal(one.prefix, 'layers/');
  assert.equal(sourceOf(given).prefix, '');
});

test('the seed is the public sample bucket', () => {
  assert.deepEqual(sourceOf({ ...given, source: 'seed' }), {
    endpoint: null,
    region: 'us-east-1',
    bucket: 'flyio-platform-hiring-challenge',
    prefix: 'images/',
    anonymous: true,
    insecure: false,
  });
  assert.equal(
    codeOf(() => sourceOf({ ...given, source: 'seed', endpoint: 'https://mirror' })),
    'source_invalid',
  );
});

test('what is no source is refused', () => {
  assert.equal(
    codeOf(() => sourceOf({ ...given, source: null })),
    'source_missing',
  );
  for (const source of ['images', 's3://', 'https://images.s3.amazonaws.com/', 's3:///prefix'])
    assert.equal(
      codeOf(() => sourceOf({ ...given, source })),
      'source_invalid',
      source,
    );
  const remote = { ...given, endpoint: 'http://192.0.2.1:9000' };
  assert.equal(
    codeOf(() => sourceOf(remote)),
    'source_insecure',
  );
  assert.equal(sourceOf({ ...remote, insecure: true }).endpoint, 'http://192.0.2.1:9000');
});

test('a family is a name, and no path', () => {
  assert.equal(familyOf('golang-1.22'), 'golang-1.22');
  for (const name of ['', '../etc', 'a/b', 'Golang', '.hidden', 'a'.repeat(80)])
    assert.equal(
      codeOf(() => familyOf(name)),
      'usage',
      name,
    );
});
