import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openScene, type Scene, smallFamily } from './scene.ts';

const activate = async (scene: Scene): Promise<string> =>
  (await scene.json<{ output: { id: string } }>(['activate', 'small'])).output.id;
const code = async (scene: Scene, args: string[], expected: number): Promise<string> =>
  (await scene.json<{ error: { code: string } }>(args, expected)).error.code;

test('a restored database forgets what is gone, and keeps what it does not know until it is told to let it go', async () => {
  const scene = await openScene();
  try {
    await scene.putLayers('small', smallFamily);
    await scene.json(scene.pullArgs('small', '--no-activate'));
    const before = await activate(scene);
    const file = join(scene.folder, 'backup.db');
    // While another process is at work.
    await scene.putLayers('other', smallFamily);
    scene.hold('other/1');
    const pull = scene.run(scene.pullArgs('other', '--no-activate'));
    while (!scene.asked.some((path) => path.includes('other/1')) && pull.child.exitCode === null)
      await new Promise((next) => setTimeout(next, 20));
    await scene.json(['db', 'backup', file]);
    assert.equal(await code(scene, ['db', 'restore', file], 1), 'state_dir_locked');
    scene.release();
    assert.equal((await pull.ended).code, 0);
    assert.equal(await code(scene, ['db', 'backup', file], 2), 'usage');

    await scene.json(['deactivate', before]);
    const after = await activate(scene);
    await scene.json(['db', 'restore', file]);
    const resumed = await scene.flyd(['resume']);
    assert.equal(resumed.code, 0, resumed.stderr);
    assert.match(resumed.stderr, /restored from an older copy/);
    assert.match(resumed.stderr, new RegExp(`forgot ${before}`));
    assert.match(resumed.stderr, new RegExp(`kept ${after}`));
    assert.doesNotMatch((await scene.flyd(['runs'])).stderr, /restored/, 'once is enough');

    await scene.json(['gc']);
    const folder = join(scene.stateDir, 'volumes/copy', after);
    assert.ok(existsSync(folder), 'what was made after the backup stays');
    const kept = await scene.json<{ id: string }[]>(['db', 'kept']);
    assert.ok(kept.some(({ id }) => id === after));
    for (const { id } of kept) await scene.json(['db', 'forget', id]);
    await scene.json(['gc']);
    assert.equal(existsSync(folder), false);
    const verdict = await scene.json<{ leftovers: unknown[] }>(['doctor', '--verify']);
    assert.deepEqual(verdict.leftovers, []);
    const again = await activate(scene);
    await scene.json(['deactivate', again]);
    assert.equal(
      readdirSync(join(scene.stateDir, 'log')).some((name) => name.startsWith('flyd.db.')),
      true,
    );
  } finally {
    await scene.close();
  }
});

test('while others are at work, nothing moves in a restored database; what is no backup is refused', async () => {
  const scene = await openScene();
  try {
    await scene.putLayers('small', smallFamily);
    await scene.json(scene.pullArgs('small', '--no-activate'));
    const file = join(scene.folder, 'backup.db');
    await scene.json(['db', 'backup', file]);
    await scene.json(['db', 'restore', file]);
    const token = join(scene.stateDir, 'owners/some-other-process');
    writeFileSync(token, '{"pid":1,"startTime":"1"}\n');
    const other = spawn('flock', ['--exclusive', token, 'sleep', '600'], { stdio: 'ignore', detached: true });
    await new Promise((started) => setTimeout(started, 300));
    try {
      assert.equal(await code(scene, ['activate', 'small'], 1), 'database_restored');
    } finally {
      if (other.pid !== undefined) process.kill(-other.pid, 'SIGKILL');
    }
    await scene.json(['deactivate', await activate(scene)]);

    const foreign = join(scene.folder, 'foreign.db');
    writeFileSync(foreign, 'not a database at all');
    assert.equal(await code(scene, ['db', 'restore', foreign], 1), 'database_corrupt');
    assert.equal(
      await code(scene, ['db', 'restore', join(scene.stateDir, 'flyd.db')], 1),
      'database_foreign',
    );
  } finally {
    await scene.close();
  }
});

test('a plain copy that is put back is noticed as well: what it does not know is kept', async () => {
  const scene = await openScene();
  try {
    await scene.putLayers('small', smallFamily);
    await scene.json(scene.pullArgs('small', '--no-activate'));
    const database = join(scene.stateDir, 'flyd.db');
    const copy = join(scene.folder, 'copy.db');
    copyFileSync(database, copy);
    const after = await activate(scene);
    copyFileSync(copy, database);
    for (const suffix of ['-wal', '-shm']) rmSync(`${database}${suffix}`, { force: true });

    const swept = await scene.flyd(['gc']);
    assert.equal(swept.code, 0, swept.stderr);
    assert.match(swept.stderr, /older copy/);
    assert.match(swept.stderr, new RegExp(`kept ${after}`));
    assert.ok(existsSync(join(scene.stateDir, 'volumes/copy', after)), 'what was made after the copy stays');
    assert.doesNotMatch((await scene.flyd(['gc'])).stderr, /older copy/, 'once is enough');
    for (const { id } of await scene.json<{ id: string }[]>(['db', 'kept']))
      await scene.json(['db', 'forget', id]);
    await scene.json(['gc']);
    const verdict = await scene.json<{ leftovers: unknown[] }>(['doctor', '--verify']);
    assert.deepEqual(verdict.leftovers, []);
  } finally {
    await scene.close();
  }
});

test('a backup takes the place of a database that is gone, damaged, or no file at all', async () => {
  const scene = await openScene();
  try {
    await scene.putLayers('small', smallFamily);
    await scene.json(scene.pullArgs('small', '--no-activate'));
    const file = join(scene.folder, 'backup.db');
    await scene.json(['db', 'backup', file]);
    const database = join(scene.stateDir, 'flyd.db');
    for (const spoil of [
      () => {},
      () => writeFileSync(database, 'not a database'),
      () => mkdirSync(database),
    ]) {
      rmSync(database, { recursive: true, force: true });
      spoil();
      await scene.json(['gc'], 1);
      await scene.json(['db', 'restore', file]);
      await scene.json(['deactivate', await activate(scene)]);
    }
  } finally {
    await scene.close();
  }
});

test('without a backup an empty database takes its place, and deletes nothing of what is there', async () => {
  const scene = await openScene();
  try {
    await scene.putLayers('small', smallFamily);
    await scene.json(scene.pullArgs('small', '--no-activate'));
    assert.equal(await code(scene, ['db', 'new'], 2), 'usage', 'not while there is one');
    const before = await activate(scene);
    const note = join(scene.stateDir, 'volumes/copy', before, 'rootfs/note');
    writeFileSync(note, 'mine');
    const database = join(scene.stateDir, 'flyd.db');
    for (const spoil of [() => rmSync(database), () => writeFileSync(database, 'not a database')]) {
      spoil();
      const { error } = await scene.json<{ error: { hint: string } }>(['gc'], 1);
      assert.match(error.hint, /flyd db new/);
      await scene.json(['db', 'new']);
    }
    const resumed = await scene.flyd(['resume']);
    assert.equal(resumed.code, 0, resumed.stderr);
    assert.match(resumed.stderr, new RegExp(`kept ${before}`));
    await scene.json(['gc']);
    assert.ok(existsSync(note), 'what was written is kept');

    await scene.json(scene.pullArgs('small', '--no-activate'));
    await scene.json(['deactivate', await activate(scene)]);
    assert.equal(await code(scene, ['db', 'forget'], 2), 'usage');
    const { ids } = await scene.json<{ ids: string[] }>(['db', 'forget', '--all']);
    assert.ok(ids.includes(before));
    await scene.json(['gc']);
    assert.equal(existsSync(note), false);
    const verdict = await scene.json<{ violations: unknown[]; leftovers: unknown[] }>(['doctor', '--verify']);
    assert.deepEqual([verdict.violations, verdict.leftovers], [[], []]);
  } finally {
    await scene.close();
  }
});
