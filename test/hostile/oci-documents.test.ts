import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultLimits } from '#core/limits';
import { parsePlatform } from '#core/platform';
import { parseConfig, parseImageDocument } from '#infra/oci/documents';
import { folderFiles } from '#infra/oci/folder';
import { layoutRepository } from '#infra/oci/layout';
import { resolveImage } from '#infra/oci/resolve';
import { buildLayout } from '../support/oci/build.ts';
import { failsWith, tempFolder } from '../support/s3/served.ts';

const hex = 'a'.repeat(64);
const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: `sha256:${hex}`, size: 10 };
const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: `sha256:${hex}`, size: 10 };
const manifest = 'application/vnd.oci.image.manifest.v1+json';
const index = 'application/vnd.oci.image.index.v1+json';

const parse = (document: unknown, told = '', limits = defaultLimits) =>
  parseImageDocument(
    Buffer.isBuffer(document)
      ? document
      : Buffer.from(typeof document === 'string' ? document : JSON.stringify(document)),
    told,
    'here',
    limits,
  );

/** What strangers may write into a manifest or an index, and what it comes to. The rule is the reason for the row. */
const cases: [string, unknown, string, string?][] = [
  ['no JSON', '{', 'manifest_invalid'],
  ['bytes that are no UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'manifest_invalid'],
  [
    'a byte order mark',
    `\ufeff${JSON.stringify({ schemaVersion: 2, config, layers: [layer] })}`,
    'manifest_invalid',
  ],
  ['an array', [], 'manifest_invalid'],
  ['null', 'null', 'manifest_invalid'],
  ['nothing known in it', {}, 'layer_unsupported'],
  [
    'index and manifest at once (CVE-2021-41190)',
    { manifests: [], config, layers: [layer] },
    'manifest_invalid',
  ],
  [
    'another type than announced (CVE-2021-41190)',
    { mediaType: manifest, config, layers: [layer] },
    'manifest_invalid',
    index,
  ],
  ['schema 1', { schemaVersion: 1, fsLayers: [] }, 'layer_unsupported'],
  [
    'schema 1 by its type',
    { schemaVersion: 2 },
    'layer_unsupported',
    'application/vnd.docker.distribution.manifest.v1+prettyjws',
  ],
  ['no layers', { config, layers: [] }, 'manifest_invalid'],
  ['a layer of no bytes', { config, layers: [{ ...layer, size: 0 }] }, 'manifest_invalid'],
  ['a negative size', { config, layers: [{ ...layer, size: -1 }] }, 'manifest_invalid'],
  [
    'a size above 2^53',
    `{"config":${JSON.stringify(config)},"layers":[{"mediaType":"x","digest":"y","size":9007199254740993}]}`,
    'manifest_invalid',
  ],
  ['a size that is text', { config, layers: [{ ...layer, size: '10' }] }, 'manifest_invalid'],
  [
    'a digest that climbs (CVE-2024-3727)',
    { config, layers: [{ ...layer, digest: 'sha256:../../etc/passwd' }] },
    'layer_unsupported',
  ],
  [
    'a digest in upper case',
    { config, layers: [{ ...layer, digest: `sha256:${'A'.repeat(64)}` }] },
    'layer_unsupported',
  ],
  [
    'a sha512 digest',
    { config, layers: [{ ...layer, digest: `sha512:${'a'.repeat(128)}` }] },
    'layer_unsupported',
  ],
  [
    'an encrypted layer',
    { config, layers: [{ ...layer, mediaType: `${layer.mediaType}+encrypted` }] },
    'layer_unsupported',
  ],
  [
    'an artifact',
    { config: { ...config, mediaType: 'application/vnd.oci.empty.v1+json' }, layers: [layer] },
    'layer_unsupported',
  ],
  ['more layers than any image has', { config, layers: Array(128).fill(layer) }, 'limit_exceeded'],
  ['an index without end', { manifests: Array(1001).fill(layer) }, 'limit_exceeded'],
];

for (const [title, document, code, told] of cases)
  test(`a manifest with ${title}: ${code}`, () => {
    assert.throws(() => parse(document, told), failsWith(code, 'unrecoverable'));
  });

test('what is odd and harmless is read', () => {
  const odd = parse({ config, layers: [layer], annotations: { x: 1 }, subject: {}, extra: [] });
  assert.equal(odd.kind, 'manifest');
  const mixed = parse({
    manifests: [
      { ...layer, platform: 'nonsense' },
      { ...layer, digest: 'sha512:x' },
    ],
  });
  assert.deepEqual(mixed.kind === 'index' && mixed.manifests.map(({ platform }) => platform), [null]);
});

test('a config must say what each layer is', () => {
  const good = {
    os: 'linux',
    architecture: 'amd64',
    rootfs: { type: 'layers', diff_ids: [`sha256:${hex}`] },
  };
  const read = (change: object, layers = 1) =>
    parseConfig(Buffer.from(JSON.stringify({ ...good, ...change })), layers, 'here');
  assert.equal(read({ config: null, history: 'x' }).diffIds.length, 1);
  assert.throws(() => read({}, 2), failsWith('manifest_invalid'));
  for (const change of [
    { rootfs: undefined },
    { rootfs: { type: 'base', diff_ids: [`sha256:${hex}`] } },
    { rootfs: { type: 'layers', diff_ids: ['sha256:x'] } },
    { os: '../linux' },
    { architecture: '' },
  ])
    assert.throws(() => read(change), failsWith('manifest_invalid'), JSON.stringify(change));
});

test('indexes in indexes end, also those that lead in a circle or are too large', async (t) => {
  const layout = buildLayout(tempFolder(t));
  const host = parsePlatform('linux/amd64');
  assert.ok(host !== null);
  const platform = { os: 'linux', architecture: 'amd64' };
  let deep = layout.image({ layers: [{ entries: [{ name: 'a' }] }] }).descriptor;
  const levels = [deep];
  for (let level = 0; level < 6; level++) {
    deep = { ...layout.index([deep]), platform };
    levels.push(deep);
  }
  const repository = layoutRepository(folderFiles({ kind: 'layout', path: layout.dir }), defaultLimits);
  const resolve = (digest: (typeof deep)['digest'] | undefined, limits = defaultLimits) =>
    resolveImage(repository, { tag: null, digest: digest ?? null, platform: null }, { limits, host }, {});
  assert.equal((await resolve(levels[4]?.digest)).layers.length, 1);
  await assert.rejects(resolve(levels[6]?.digest), failsWith('limit_exceeded'));
  await assert.rejects(
    resolve(levels[0]?.digest, { ...defaultLimits, manifestBytesMax: 100 }),
    failsWith('limit_exceeded'),
  );
  const huge = {
    ...layout.image({ layers: [{ entries: [{ name: 'b' }] }] }).descriptor,
    size: 5 * 1024 * 1024,
  };
  await assert.rejects(resolve(layout.index([huge]).digest), failsWith('limit_exceeded'));
});
