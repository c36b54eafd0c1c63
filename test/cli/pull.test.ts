import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { openScene, type Scene, smallFamily } from './scene.ts';
import * as shapes from './shapes.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await openScene();
  await scene.putLayers('small', smallFamily);
});
afterEach(() => scene.close());

test('a pull prints one document of the fixed shape, and writes it where it is told', async () => {
  const results = join(scene.folder, 'results.json');
  const { code, stdout } = await scene.flyd([...scene.pullArgs('small', '--results', results), '--json']);
  assert.equal(code, 0);
  const document = shapes.pull.parse(JSON.parse(stdout));
  assert.equal(document.status, 'done');
  assert.equal(document.pinned, false);
  assert.deepEqual(
    document.image?.layers.map(({ key, reused }) => ({ key, reused })),
    [
      { key: 'small/0.tar.gz', reused: false },
      { key: 'small/1.tar.zst', reused: false },
    ],
  );
  const sizes = document.image?.layers.map(({ size }) => size) ?? [];
  assert.equal(
    document.bytes.fetched,
    sizes.reduce((sum, size) => sum + size, 0),
  );
  assert.equal(document.bytes.unpacked, 'hello\n'.length + 'old\n'.length + 'new\n'.length);
  const rootfs = document.activation?.rootfs ?? '';
  assert.deepEqual(readdirSync(join(rootfs, 'etc')).sort(), ['motd', 'new']);
  assert.equal(readFileSync(results, 'utf8'), stdout);
});

test('the second pull fetches and unpacks nothing, and makes an activation of its own', async () => {
  const first = shapes.pull.parse(await scene.json(scene.pullArgs('small')));
  const before = scene.asked.length;
  const second = shapes.pull.parse(await scene.json(scene.pullArgs('small')));
  assert.deepEqual(
    scene.asked.slice(before).filter((path) => path.includes('.tar')),
    [],
  );
  assert.equal(second.bytes.fetched, 0);
  assert.equal(second.base?.reused, true);
  assert.equal(second.base?.id, first.base?.id);
  assert.ok(second.image?.layers.every(({ reused }) => reused));
  assert.notEqual(second.activation?.id, first.activation?.id);
  assert.notEqual(second.run, first.run);
});

test('without --json a person reads what came of it, on stdout, and what happens meanwhile, on stderr', async () => {
  const { code, stdout, stderr } = await scene.flyd(scene.pullArgs('small', '--name', 'mine'));
  assert.equal(code, 0);
  assert.match(stdout, /^small: 2 layers/m);
  assert.match(stdout, /unpinned/);
  assert.match(stdout, /flyd deactivate act-/);
  assert.match(stderr, /0\.tar\.gz: fetched/);
  assert.equal((stdout + stderr).includes('\u001b'), false, 'no escapes where there is no terminal');
});

test('what pulls leave is listed in the fixed shapes', async () => {
  const { run, image, activation } = shapes.pull.parse(
    await scene.json(scene.pullArgs('small', '--name', 'mine')),
  );
  const runs = shapes.runs.parse(await scene.json(['runs']));
  assert.deepEqual([...new Set(runs.map(({ machine }) => machine))].sort(), [
    'activate',
    'blob',
    'image',
    'pull',
    'volume',
  ]);
  const events = shapes.events.parse(await scene.json(['runs', 'events', run]));
  assert.equal(events.at(-1)?.to, 'activated');
  assert.deepEqual(
    events.map(({ seq }) => seq),
    events.map((_, at) => at + 1),
  );
  const shown = await scene.json<{ id: string; children: { id: string }[] }>([
    'runs',
    'show',
    run.slice(0, 20),
  ]);
  assert.equal(shown.id, run);
  assert.ok(shown.children.length > 0);
  assert.equal(shapes.images.parse(await scene.json(['images']))[0]?.id, image?.id);
  assert.equal((await scene.json<{ id: string }>(['images', 'show', 'small'])).id, image?.id);
  assert.equal(shapes.blobs.parse(await scene.json(['blobs'])).length, 2);
  assert.equal(shapes.activations.parse(await scene.json(['activations']))[0]?.id, activation?.id);
});

test('nothing is made by looking', async () => {
  for (const what of ['runs', 'images', 'blobs', 'activations'])
    assert.deepEqual(await scene.json([what]), [], what);
  assert.equal(existsSync(scene.stateDir), false);
});

test('--no-activate stops at the base, and activate makes the snapshot later', async () => {
  const document = shapes.pull.parse(await scene.json(scene.pullArgs('small', '--no-activate')));
  assert.equal(document.activation, null);
  const made = await scene.json<{ status: string; output: { rootfs: string } }>(['activate', 'small']);
  assert.equal(readFileSync(join(made.output.rootfs, 'etc/motd'), 'utf8'), 'hello\n');
});

test('a lock file is written the first time and enforced from then on', async () => {
  const lock = join(scene.folder, 'small.lock');
  const first = shapes.pull.parse(await scene.json(scene.pullArgs('small', '--lock', lock)));
  assert.equal(first.pinned, false, 'nothing was known before the first time');
  const { layers } = JSON.parse(readFileSync(lock, 'utf8')) as { layers: { digest: string }[] };
  assert.deepEqual(
    layers.map(({ digest }) => digest),
    first.image?.layers.map(({ digest }) => digest),
  );
  const second = shapes.pull.parse(await scene.json(scene.pullArgs('small', '--lock', lock)));
  assert.equal(second.pinned, true);

  await scene.putLayers('small', [
    { name: '1.tar.zst', entries: [{ type: 'file', path: 'etc/evil', content: 'other\n' }] },
  ]);
  const third = shapes.pull.parse(await scene.json(scene.pullArgs('small', '--lock', lock), 1));
  assert.equal(third.status, 'failed');
  assert.ok(['lock_mismatch', 'digest_mismatch', 'size_mismatch'].includes(third.error?.code ?? ''));
});

test('a family that is not there fails, and says so in one line', async () => {
  const failed = shapes.pull.parse(await scene.json(scene.pullArgs('absent'), 1));
  assert.equal(failed.status, 'failed');
  assert.equal(failed.error?.code, 'family_not_found');
  assert.equal(failed.image, null);
  const { code, stdout, stderr } = await scene.flyd(scene.pullArgs('absent'));
  assert.equal(code, 1);
  assert.equal(stdout, '');
  assert.match(stderr, /^flyd: .*\[family_not_found\]$/m);
});

test('images and activations are taken down to nothing', async () => {
  const { image, activation } = shapes.pull.parse(
    await scene.json(scene.pullArgs('small', '--name', 'mine')),
  );
  const refused = await scene.json<{ error: { code: string; message: string } }>(['rm', image?.id ?? ''], 1);
  assert.equal(refused.error.code, 'image_in_use');
  assert.match(refused.error.message, new RegExp(activation?.id ?? 'none'));
  await scene.json(['deactivate', 'mine']);
  await scene.json(['rm', 'small']);
  await scene.json(['gc']);
  for (const what of ['images', 'blobs', 'activations']) assert.deepEqual(await scene.json([what]), [], what);
  for (const folder of ['blobs/sha256', 'partial', 'volumes/copy'])
    assert.deepEqual(readdirSync(join(scene.stateDir, folder)), [], folder);
  assert.deepEqual(readdirSync(scene.mountRoot), []);
});

test('rm --force takes activations down first', async () => {
  await scene.json(scene.pullArgs('small'));
  await scene.json(scene.pullArgs('small'));
  const { output } = await scene.json<{ output: { swept: { blobs: number } } }>(['rm', 'small', '--force']);
  assert.equal(output.swept.blobs, 2);
  assert.deepEqual(await scene.json(['activations']), []);
});

test('everything is its owner’s alone', async () => {
  await scene.json(scene.pullArgs('small'));
  for (const path of [scene.stateDir, scene.mountRoot])
    assert.equal(statSync(path).mode & 0o777, 0o700, path);
});
