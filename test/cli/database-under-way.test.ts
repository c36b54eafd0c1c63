import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { whyNot } from '../support/needs.ts';
import { makeSmallDisk } from '../support/small-disk.ts';
import { lockElsewhere } from './database-cases.ts';
import { openScene, type Running, type Scene, smallFamily } from './scene.ts';
import * as shapes from './shapes.ts';

/** The database goes bad while a pull is under way: it waits, or ends with one error, and goes on afterwards. */
async function pulling(work: (scene: Scene, pull: (wait: string) => Promise<Running>) => Promise<void>) {
  const scene = await openScene();
  try {
    await scene.putLayers('small', smallFamily);
    scene.hold('small/1');
    await work(scene, async (wait) => {
      const running = scene.run(scene.pullArgs('small', '--json', '--timeout', `databaseMs=${wait}`));
      while (!scene.asked.some((path) => path.includes('small/1'))) {
        assert.equal(running.child.exitCode, null);
        await new Promise((give) => setTimeout(give, 10));
      }
      return running;
    });
  } finally {
    await scene.close();
  }
}

async function goesOn(scene: Scene): Promise<void> {
  scene.release();
  const [document] = await scene.json<unknown[]>(['resume', '--all']);
  assert.equal(shapes.pull.parse(document).status, 'done');
  const { violations } = await scene.json<{ violations: unknown[] }>(['doctor', '--verify']);
  assert.deepEqual(violations, []);
}

function failedWith(stdout: string, code: string): void {
  const { error } = shapes.failure.parse(JSON.parse(stdout));
  assert.equal(error.code, code);
  assert.ok(error.hint);
}

test('locked for longer than it waits, and free again: the pull says so and goes on', () =>
  pulling(async (scene, pull) => {
    const running = await pull('1500');
    const unlock = await lockElsewhere(join(scene.stateDir, 'flyd.db'), 'journal_mode = WAL');
    scene.release();
    await running.says(/keeps the database locked .*waiting, then going on/);
    unlock();
    const { code, stdout, stderr } = await running.ended;
    assert.equal(code, 0, stdout + stderr);
    assert.match(stderr, /the database works again/);
    assert.equal(shapes.pull.parse(JSON.parse(stdout)).status, 'done');
  }));

test('locked for ever: the pull ends with one error, and goes on when it is resumed', () =>
  pulling(async (scene, pull) => {
    const running = await pull('300');
    const unlock = await lockElsewhere(join(scene.stateDir, 'flyd.db'), 'journal_mode = WAL');
    scene.release();
    const { code, stdout, stderr } = await running.ended;
    unlock();
    assert.equal(code, 1, stderr);
    failedWith(stdout, 'database_busy');
    assert.doesNotMatch(stderr, /^\s+at /m);
    await goesOn(scene);
  }));

test('its file system turns read-only: the pull ends with one error, and goes on when it is resumed', async (t) => {
  const reason = whyNot(['root', 'mount', 'losetup']);
  if (reason !== null) return t.skip(reason);
  await pulling(async (scene, pull) => {
    const disk = makeSmallDisk(join(scene.folder, 'disk'), scene.stateDir, 40 * 1024 * 1024);

    try {
      const running = await pull('300');
      // What the kernel does by itself when the journal cannot be written (ext4(5), errors=remount-ro).
      execFileSync('mount', ['-o', 'remount,abort', scene.stateDir]);
      scene.release();
      const { code, stdout, stderr } = await running.ended;
      assert.equal(code, 1, stderr);
      const { error } = JSON.parse(stdout) as { error: { code: string; hint: string } };
      assert.match(error.code, /^(permission|database_readonly|database_failed)$/, stdout);
      assert.doesNotMatch(stderr, /^\s+at /m);
      execFileSync('umount', [scene.stateDir]);
      execFileSync('mount', ['-o', 'loop', disk.image, scene.stateDir]);
      await goesOn(scene);
      for (const { id } of await scene.json<{ id: string }[]>(['activations']))
        await scene.json(['deactivate', id]);
    } finally {
      disk.close();
    }
  });
});

test('its pages are overwritten: what ends badly ends with one error, and a backup brings the work back', () =>
  pulling(async (scene, pull) => {
    const backup = join(scene.folder, 'backup.db');
    const running = await pull('300');
    await scene.json(['db', 'backup', backup]);
    for (const suffix of ['', '-wal']) {
      const path = join(scene.stateDir, `flyd.db${suffix}`);
      const bytes = readFileSync(path);
      const file = openSync(path, 'r+'); // in place: whoever has it open reads this
      writeSync(file, bytes.fill(0xa5));
      closeSync(file);
    }
    scene.release();
    const { code, stdout, stderr } = await running.ended;
    assert.ok(code === 0 || code === 1, stderr);
    if (code === 1) failedWith(stdout, 'database_corrupt');
    assert.doesNotMatch(stderr, /^\s+at /m);
    failedWith((await scene.flyd(['runs', '--json'])).stdout, 'database_corrupt');
    await scene.json(['db', 'restore', backup]);
    await goesOn(scene);
  }));
