import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sourceOf } from '#cli/source';
import { wantedOf } from '#cli/wanted';
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

const pulled = (text: string, platform: string | null = null, more = {}) =>
  wantedOf(text, platform, { ...given, ...more });
const hex = 'a'.repeat(64);

test('a family is a name under the source, and no path', () => {
  assert.deepEqual(pulled('golang-1.22'), { source: sourceOf(given), family: 'golang-1.22', choice: null });
  for (const name of [
    '',
    '../etc',
    'a/b',
    'Golang',
    '.hidden',
    'a'.repeat(80),
    'golang@sha256:12',
    'golang:1',
  ])
    assert.equal(
      codeOf(() => pulled(name)),
      'usage',
      name,
    );
});

test('a place in a bucket is a family there, unless a tag or a digest says that it is a layout', () => {
  const { source, family, choice } = pulled('s3://images/layers/golang/');
  assert.deepEqual([source, family], [sourceOf({ ...given, source: 's3://images/layers' }), 'golang']);
  assert.equal(choice, null);
  assert.deepEqual(pulled(`s3://images/golang:1.22@sha256:${hex}`).choice, {
    tag: '1.22',
    digest: `sha256:${hex}`,
    platform: null,
  });
  for (const name of ['s3://images', 's3://images/', 's3:///golang', 's3://images/a:'])
    assert.equal(
      codeOf(() => pulled(name)),
      'usage',
      name,
    );
});

test('a layout in a folder is named by its path and a tag, which may have colons itself', () => {
  const { source, family, choice } = pulled('oci:/srv/images:golang', 'linux/aarch64');
  assert.deepEqual(source, { kind: 'layout', path: '/srv/images' });
  assert.deepEqual(
    [family, choice],
    ['images:golang', { tag: 'golang', digest: null, platform: 'linux/arm64' }],
  );
  assert.equal(pulled('oci:images').source.kind, 'layout');
  assert.equal(pulled('oci:/srv/images:registry.example/go:1').choice?.tag, 'registry.example/go:1');
  assert.equal(pulled(`oci:/srv/images@sha256:${hex}`).choice?.digest, `sha256:${hex}`);
});

test('a registry is known by a dot or a port, and spoken to over https but on this machine', () => {
  const { source, family, choice } = pulled(`registry.example/tools/go:1.22@sha256:${hex}`);
  const base = { kind: 'registry', anonymous: false, insecure: false };
  assert.deepEqual(source, { ...base, endpoint: 'https://registry.example', repository: 'tools/go' });
  assert.deepEqual([family, choice?.tag, choice?.digest], ['go:1.22', '1.22', `sha256:${hex}`]);
  const endpointOf = (text: string, more = {}) => {
    const found = pulled(text, null, more).source;
    return found.kind === 'registry' ? found.endpoint : null;
  };
  assert.equal(endpointOf('localhost:5000/go'), 'http://localhost:5000');
  assert.equal(endpointOf('127.0.0.1:5000/go:1'), 'http://127.0.0.1:5000');
  assert.equal(endpointOf('[::1]:5000/go'), 'http://[::1]:5000');
  assert.equal(endpointOf('10.0.0.1:5000/go'), 'https://10.0.0.1:5000');
  assert.equal(endpointOf('10.0.0.1:5000/go', { insecure: true }), 'http://10.0.0.1:5000');
  for (const name of [
    'registry.example/Go',
    'registry.example/',
    'registry.example/go:',
    'registry.example/go@sha256:12',
    'registry.example/../go',
    'user:secret@registry.example/go',
    'registry.example/go?x=1',
    'https://registry.example/go',
  ])
    assert.equal(
      codeOf(() => pulled(name)),
      'usage',
      name,
    );
  assert.equal(
    codeOf(() => pulled('registry.example/go', 'linux')),
    'usage',
  );
});
