import assert from 'node:assert/strict';
import { appendFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { defaultLimits } from '#core/limits';
import { parsePlatform } from '#core/platform';
import type { ImageChoice, Source } from '#core/source';
import { createImageSources, type ImageSources } from '#infra/image-sources';
import { createRegistry } from '#infra/registry';
import { createS3Source } from '#infra/s3';
import { startS3Server } from '#infra/s3-server';
import { type BuiltLayout, buildLayout, type ImageWish } from '../support/oci/build.ts';
import { serveRegistry } from '../support/oci/registry.ts';
import { failsWith, sourceAt, tempFolder } from '../support/s3/served.ts';

/** One layout, told by each kind of source: what the contract promises, it promises of them all. */
interface Subject {
  layout: BuiltLayout;
  resolve: (choice?: Partial<ImageChoice>) => ReturnType<ImageSources['resolve']>;
  bytesOf: (key: string, start?: number) => Promise<Buffer>;
}

const kinds = ['folder', 'bucket', 'registry'] as const;

async function open(t: TestContext, kind: (typeof kinds)[number]): Promise<Subject> {
  const root = tempFolder(t);
  const layout = buildLayout(join(root, 'bucket', 'images', 'app'));
  const objects = createS3Source();
  const registry = createRegistry({ credentials: async () => null, limits: defaultLimits });
  t.after(() => {
    objects.close();
    registry.close();
  });
  const host = parsePlatform('linux/amd64');
  assert.ok(host !== null);
  const sources = createImageSources({ objects, registry, limits: defaultLimits, host });
  const source = await place(t, kind, root, layout);
  const tag = 'v1';
  return {
    layout,
    resolve: (choice = {}) =>
      sources.resolve(source, {
        choice: { tag, digest: null, platform: null, ...choice },
        prefix: 'images/app/',
      }),
    async bytesOf(key, start = 0) {
      const opened = await sources.openRange(source, { key, start, etag: null });
      const chunks: Buffer[] = [];
      for await (const chunk of opened.body) chunks.push(chunk);
      return Buffer.concat(chunks).subarray(start - opened.start);
    },
  };
}

async function place(
  t: TestContext,
  kind: (typeof kinds)[number],
  root: string,
  layout: BuiltLayout,
): Promise<Source> {
  if (kind === 'folder') return { kind: 'layout', path: layout.dir };
  if (kind === 'registry') return (await serveRegistry(t, layout)).source;
  const server = await startS3Server({ dir: root });
  t.after(() => server.close());
  return sourceAt(server.endpoint);
}

const twoLayers: ImageWish = {
  layers: [{ entries: [{ name: 'a', data: 'a' }] }, { entries: [{ name: 'b', data: 'b' }], packing: 'zstd' }],
};

for (const kind of kinds) {
  test(`${kind}: a tag becomes its layers in order, with what each must be, and their bytes`, async (t) => {
    const { layout, resolve, bytesOf } = await open(t, kind);
    const image = layout.image({ ...twoLayers, config: { Cmd: ['/bin/app'] } });
    layout.tag(image.descriptor, 'v1');
    const { layers, manifest, config } = await resolve();
    assert.deepEqual(
      layers.map(({ digest, size, etag }) => ({ digest, size, etag })),
      image.layers.map(({ descriptor: { digest, size } }) => ({ digest, size, etag: '' })),
    );
    const { digest, size, mediaType } = image.descriptor;
    assert.deepEqual(
      [manifest.digest, manifest.size, manifest.mediaType, manifest.platform],
      [digest, size, mediaType, 'linux/amd64'],
    );
    assert.deepEqual(
      manifest.diffIds,
      image.layers.map(({ diffId }) => diffId),
    );
    assert.deepEqual(JSON.parse(config.toString()).config, { Cmd: ['/bin/app'] });
    for (const [position, { stored }] of image.layers.entries()) {
      const key = layers[position]?.key ?? '';
      assert.deepEqual(await bytesOf(key), stored);
      assert.deepEqual(await bytesOf(key, 10), stored.subarray(10));
    }
  });

  test(`${kind}: an index gives the image of the platform, through indexes in indexes`, async (t) => {
    const { layout, resolve } = await open(t, kind);
    const made = (architecture: string, variant?: string) =>
      layout.image({ ...twoLayers, architecture, ...(variant === undefined ? {} : { variant }) });
    const images = {
      amd64: made('amd64'),
      arm64: made('arm64', 'v8'),
      v6: made('arm', 'v6'),
      v7: made('arm', 'v7'),
    };
    const attestation = { ...made('amd64').descriptor, platform: { os: 'unknown', architecture: 'unknown' } };
    const all = [attestation, ...Object.values(images).map(({ descriptor }) => descriptor)];
    layout.tag(layout.index(all, true), 'v1');
    const chosen = async (platform: string | null) => (await resolve({ platform })).manifest.digest;
    assert.equal(await chosen(null), images.amd64.descriptor.digest);
    assert.equal(await chosen('linux/arm64'), images.arm64.descriptor.digest);
    assert.equal(await chosen('linux/arm/v6'), images.v6.descriptor.digest);
    assert.equal(await chosen('linux/arm/v7'), images.v7.descriptor.digest);
    await assert.rejects(resolve({ platform: 'linux/riscv64' }), (error: { code: string; hint: string }) => {
      assert.match(error.hint, /linux\/arm64.*--platform/);
      return error.code === 'reference_not_found';
    });
    const inner = {
      ...layout.index([images.arm64.descriptor]),
      platform: { os: 'linux', architecture: 'arm64' },
    };
    const digest = layout.index([inner]).digest;
    assert.equal(
      (await resolve({ digest, platform: 'linux/arm64' })).manifest.digest,
      images.arm64.descriptor.digest,
    );
  });

  test(`${kind}: a digest decides alone, whatever the tag says; Docker's own types are read`, async (t) => {
    const { layout, resolve } = await open(t, kind);
    layout.tag(layout.image(twoLayers).descriptor, 'v1');
    const docker = layout.image({ layers: [{ entries: [{ name: 'c' }] }], docker: true });
    const { manifest, layers } = await resolve({ tag: 'gone', digest: docker.descriptor.digest });
    assert.equal(manifest.digest, docker.descriptor.digest);
    assert.equal(layers[0]?.digest, docker.layers[0]?.descriptor.digest);
  });

  test(`${kind}: a tag that is not there is said, with those that are`, async (t) => {
    const { layout, resolve } = await open(t, kind);
    layout.tag(layout.image(twoLayers).descriptor, 'v1');
    await assert.rejects(resolve({ tag: 'v2' }), (error: { code: string; hint: string }) => {
      assert.match(error.hint, /v1/);
      return error.code === 'reference_not_found';
    });
  });

  test(`${kind}: documents that are not what their digest or size says are not believed`, async (t) => {
    const { layout, resolve } = await open(t, kind);
    const image = layout.image(twoLayers);
    const other = layout.image({ ...twoLayers, config: { Cmd: ['evil'] } });
    layout.tag(layout.index([image.descriptor]), 'v1');
    writeFileSync(layout.pathOf(image.descriptor.digest), layout.read(other.descriptor.digest) ?? '');
    await assert.rejects(resolve(), failsWith('digest_mismatch', 'unrecoverable'));
    const config = layout.image({ ...twoLayers, architecture: 'amd64', config: { Cmd: ['x'] } });
    appendFileSync(layout.pathOf(config.config.digest), ' ');
    await assert.rejects(resolve({ digest: config.descriptor.digest }), failsWith('size_mismatch'));
    const lying = layout.index([{ ...other.descriptor, size: other.descriptor.size - 1 }]);
    await assert.rejects(resolve({ digest: lying.digest }), failsWith('size_mismatch'));
  });

  test(`${kind}: a layer that is not there is waited for`, async (t) => {
    const { layout, resolve, bytesOf } = await open(t, kind);
    const image = layout.image(twoLayers);
    layout.tag(image.descriptor, 'v1');
    const [layer] = image.layers;
    rmSync(layout.pathOf(layer?.descriptor.digest ?? ('' as never)));
    const { layers } = await resolve();
    await assert.rejects(bytesOf(layers[0]?.key ?? ''), failsWith('object_missing', 'pending'));
  });
}

for (const kind of ['folder', 'bucket'] as const)
  test(`${kind}: without a tag there must be one image; one tag may have an image for each platform`, async (t) => {
    const { layout, resolve } = await open(t, kind);
    const [amd64, arm64] = ['amd64', 'arm64'].map((architecture) =>
      layout.image({ ...twoLayers, architecture }),
    );
    assert.ok(amd64 !== undefined && arm64 !== undefined);
    layout.tag(amd64.descriptor, 'v1');
    assert.equal((await resolve({ tag: null })).manifest.digest, amd64.descriptor.digest);
    layout.tag(arm64.descriptor, 'v1');
    assert.equal(
      (await resolve({ tag: null, platform: 'linux/arm64' })).manifest.digest,
      arm64.descriptor.digest,
    );
    layout.tag(layout.image({ ...twoLayers, config: { Cmd: ['2'] } }).descriptor, 'v2');
    await assert.rejects(resolve({ tag: null }), failsWith('reference_not_found'));
    rmSync(join(layout.dir, 'oci-layout'));
    await assert.rejects(resolve(), failsWith('source_invalid'));
  });
