import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { whyNot } from '../support/needs.ts';
import { openScene, type Scene, smallFamily } from './scene.ts';
import * as shapes from './shapes.ts';

const skip = whyNot(['root', 'setpriv']);
const skipOverlay = whyNot(['root', 'overlay']);

let scene: Scene;
beforeEach(async () => {
  scene = await openScene();
  // Others may come as far as the state directory, and no further.
  chmodSync(scene.folder, 0o755);
  await scene.putLayers('small', smallFamily);
});
afterEach(() => scene.close());

const asNobody = (command: string, ...args: string[]) =>
  spawnSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', command, ...args], {
    encoding: 'utf8',
  });

const everything = (folder: string): string[] =>
  spawnSync('find', [folder, '-mindepth', '1'], { encoding: 'utf8' }).stdout.trim().split('\n');

for (const driver of ['copy', 'overlay'])
  test(`another user reaches no file of blobs, volumes, activations or database (${driver})`, async (t) => {
    const reason = driver === 'overlay' ? (skip ?? skipOverlay) : skip;
    if (reason !== null) return t.skip(reason);
    const pulled = shapes.pull.parse(await scene.json(scene.pullArgs('small', '--driver', driver)));
    const { rootfs } = pulled.activation ?? assert.fail();
    const inside = [...everything(scene.stateDir), ...everything(scene.mountRoot)];
    for (const wanted of ['flyd.db', 'blobs/sha256/', 'volumes/', 'etc/motd'])
      assert.ok(
        inside.some((path) => path.includes(wanted)),
        wanted,
      );
    // One process asks for each path: what stat(2) finds, it prints.
    const found = asNobody('stat', '--format=%n', ...inside);
    assert.equal(found.stdout, '');
    assert.notEqual(asNobody('ls', scene.stateDir).status, 0);
    assert.notEqual(asNobody('ls', scene.mountRoot).status, 0);
    assert.equal(asNobody('ls', scene.folder).status, 0, 'the test itself must let nobody come so far');
    assert.ok(existsSync(rootfs ?? ''));
  });

test('a state directory that others may enter is refused, with what mends it', async () => {
  mkdirSync(scene.stateDir, { mode: 0o755 });
  chmodSync(scene.stateDir, 0o755);
  const { error } = shapes.failure.parse(await scene.json(scene.pullArgs('small'), 1));
  assert.equal(error.code, 'state_dir_refused');
  assert.match(error.hint ?? '', /chmod 0700/);
});

test('overlay: an activation is mounted at <mount root>/<id>, and gone after deactivate', async (t) => {
  if (skipOverlay !== null) return t.skip(skipOverlay);
  const pulled = shapes.pull.parse(await scene.json(scene.pullArgs('small', '--driver', 'overlay')));
  const { id, path, rootfs } = pulled.activation ?? assert.fail();
  assert.equal(path, join(scene.mountRoot, id));
  assert.ok(readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${path} `));
  writeFileSync(join(rootfs ?? '', 'etc/written'), 'mine\n');
  const other = await scene.json<{ output: { rootfs: string } }>(['activate', 'small']);
  assert.equal(existsSync(join(other.output.rootfs, 'etc/written')), false, 'snapshots are apart');
  await scene.json(['rm', 'small', '--force']);
  assert.equal(readFileSync('/proc/self/mountinfo', 'utf8').includes(scene.mountRoot), false);
});

test('an activation that a process holds is not taken down', async (t) => {
  if (skipOverlay !== null) return t.skip(skipOverlay);
  const pulled = shapes.pull.parse(await scene.json(scene.pullArgs('small', '--driver', 'overlay')));
  const { id, rootfs } = pulled.activation ?? assert.fail();
  const before = process.cwd();
  process.chdir(rootfs ?? '');
  try {
    for (const args of [
      ['deactivate', id],
      ['rm', 'small', '--force'],
    ]) {
      const refused = await scene.json<{ error: { code: string; message: string } }>(args, 1);
      assert.equal(refused.error.code, 'activation_busy');
      assert.match(refused.error.message, new RegExp(String(process.pid)));
    }
  } finally {
    process.chdir(before);
  }
  await scene.json(['deactivate', id]);
});
