import assert from 'node:assert/strict';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { familyPin } from '#actors/family-pin';
import { familyResolve } from '#actors/family-resolve';
import { imageVerify } from '#actors/image-verify';
import { buildLayout } from '../../support/oci/build.ts';
import {
  openTestParts,
  run,
  type ServedLayer,
  stopsWhenAborted,
  type TestParts,
  twice,
} from '../../support/parts.ts';

let parts: TestParts;
let layers: [ServedLayer, ServedLayer];
let lockFile = '';
beforeEach(async () => {
  parts = await openTestParts();
  layers = [
    parts.serve('go', '00-base.tar.gz', [{ name: 'a', data: 'a' }]),
    parts.serve('go', '01-app.tar.gz', [{ name: 'b', data: 'b' }]),
  ];
  lockFile = join(parts.folder, 'go.lock');
});
afterEach(() => parts.close());

const refs = () => layers.map(({ ref }) => ref);
const blobs = () => layers.map(({ blob }) => blob);
const resolve = (family = 'go', lock: string | null = null) =>
  twice(familyResolve(parts), { source: parts.source, family, choice: null, lockFile: lock });
const pin = () => twice(familyPin(parts), { source: parts.source, family: 'go', lockFile, layers: blobs() });
const manifest = (names: { name: string; size: number; digest?: string }[]) =>
  writeFileSync(join(parts.bucket, 'images/go/manifest.json'), JSON.stringify({ layers: names }));
const sizes = () => layers.map(({ ref }) => ({ name: ref.key.split('/').at(-1) ?? '', size: ref.size }));
const removeObject = (position: 0 | 1) => rmSync(join(parts.bucket, layers[position].ref.key));

describe('family.resolve', () => {
  it('lists the layers in order, not pinned', async () => {
    assert.deepEqual(await resolve(), { layers: refs(), pinned: false, manifest: null });
  });

  it('takes digests from the manifest', async () => {
    manifest(sizes().map((entry, position) => ({ ...entry, digest: blobs()[position]?.digest ?? '' })));
    const { layers: found, pinned } = await resolve();
    assert.deepEqual(
      found.map(({ digest }) => digest),
      blobs().map(({ digest }) => digest),
    );
    assert.equal(pinned, false);
  });

  it('waits for what the manifest names and the bucket lacks', async () => {
    manifest([...sizes(), { name: '02-more.tar.gz', size: 10 }]);
    await assert.rejects(resolve(), {
      code: 'object_missing',
      kind: 'pending',
      subject: 'images/go/02-more.tar.gz',
    });
  });

  it('says that a family is not there', async () => {
    await assert.rejects(resolve('python'), { code: 'family_not_found', kind: 'unrecoverable' });
  });

  it('refuses a name that is none', async () => {
    await assert.rejects(resolve('../go'), { code: 'usage' });
  });

  it('pins every layer by the lock file', async () => {
    await pin();
    const resolved = await resolve('go', lockFile);
    assert.equal(resolved.pinned, true);
    assert.deepEqual(
      resolved.layers.map(({ digest }) => digest),
      blobs().map(({ digest }) => digest),
    );
  });

  it('is not pinned by a lock file that is not there yet', async () => {
    assert.deepEqual(await resolve('go', lockFile), { layers: refs(), pinned: false, manifest: null });
  });

  it('waits for layers that the lock file names, also when none is there', async () => {
    await pin();
    removeObject(1);
    await assert.rejects(resolve('go', lockFile), { code: 'object_missing', kind: 'pending' });
    removeObject(0);
    await assert.rejects(resolve('go', lockFile), {
      code: 'object_missing',
      kind: 'pending',
      facts: { missing: 2 },
    });
  });

  it('refuses at once what can never fit the lock file', async () => {
    await pin();
    removeObject(1);
    parts.serve('go', '02-other.tar.gz', [{ name: 'c' }]);
    await assert.rejects(resolve('go', lockFile), { code: 'lock_mismatch', kind: 'unrecoverable' });
    parts.serve('node', '00-base.tar.gz', [{ name: 'c' }]);
    await assert.rejects(resolve('node', lockFile), { code: 'lock_mismatch' });
  });

  it('stops when told to', () =>
    stopsWhenAborted(familyResolve(parts), {
      source: parts.source,
      family: 'go',
      choice: null,
      lockFile: null,
    }));
});

describe('family.pin', () => {
  it('writes the lock file once', async () => {
    assert.equal(await pin(), null);
    assert.deepEqual(
      (await parts.readLock(lockFile))?.layers,
      blobs().map(({ key, size, digest }) => ({ key, size, digest })),
    );
  });

  it('refuses a lock file that somebody wrote meanwhile for other layers', async () => {
    await parts.writeLock(lockFile, parts.lockOf(parts.source, 'go', blobs().slice(0, 1)));
    await assert.rejects(pin(), { code: 'lock_mismatch' });
    assert.equal((await parts.readLock(lockFile))?.layers.length, 1, 'and leaves it alone');
  });

  it('stops when told to, and writes nothing', async () => {
    const input = { source: parts.source, family: 'go', lockFile, layers: blobs() };
    await stopsWhenAborted(familyPin(parts), input);
    assert.equal(existsSync(lockFile), false);
    await run(familyPin(parts), input);
    assert.equal(existsSync(lockFile), true);
  });
});

describe('image.verify', () => {
  const asked: string[] = [];
  const verify = async ({ name, digest }: { name: string; digest: string }) => void asked.push(name, digest);
  const family = (digests: boolean) => ({
    source: parts.source,
    family: 'go',
    choice: null,
    layers: layers.map(({ ref, blob }) => ({ ...ref, digest: digests ? blob.digest : null })),
    manifest: null,
  });

  it('allows everything where there is no policy', async () => {
    assert.equal(await twice(imageVerify({ verify: null }), family(false)), null);
  });

  it('has a family judged by one digest over its layers, the same each time', async () => {
    await twice(imageVerify({ verify }), family(true));
    const [name, first, , second] = asked;
    assert.equal(name, 's3://layers/images/go');
    assert.equal(first, second);
    const other = { ...family(true), layers: family(true).layers.reverse() };
    await run(imageVerify({ verify }), other);
    assert.notEqual(asked.at(-1), first, 'the order of the layers is part of it');
  });

  it('refuses what cannot be judged, and asks nobody', async () => {
    const before = asked.length;
    await assert.rejects(run(imageVerify({ verify }), family(false)), { code: 'image_refused' });
    assert.equal(asked.length, before);
  });

  it('stops when told to', () => stopsWhenAborted(imageVerify({ verify }), family(true)));
});

describe('family.resolve of an OCI layout', () => {
  it('keeps the config, finds the layout in a bucket by its files, and stops when told to', async () => {
    const layout = buildLayout(join(parts.bucket, 'images/app'));
    const image = layout.image({ layers: [{ entries: [{ name: 'a' }] }], config: { User: 'app' } });
    layout.tag(image.descriptor, 'v1');
    const input = { source: parts.source, family: 'app', choice: null, lockFile: null };
    const resolved = await twice(familyResolve(parts), input);
    assert.equal(resolved.manifest?.digest, image.descriptor.digest);
    assert.equal(
      resolved.layers[0]?.key,
      `images/app/blobs/sha256/${image.layers[0]?.descriptor.digest.slice(7)}`,
    );
    assert.match(parts.configs.find(image.config.digest) ?? '', /"User":"app"/);
    const folder = { ...input, source: { kind: 'layout' as const, path: layout.dir } };
    const choice = { tag: null, digest: image.descriptor.digest, platform: null };
    assert.equal((await twice(familyResolve(parts), { ...folder, choice })).pinned, true);
    await stopsWhenAborted(familyResolve(parts), folder);
    parts.sweeps.dropConfigs();
    assert.equal(parts.configs.find(image.config.digest), null, 'no image has it');
  });
});
