import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { whyNot } from '../support/needs.ts';
import { openScene, type Scene } from './scene.ts';

/**
 * The state directory on a small file system of its own that is filled to the brim but for so many KiB: one
 * write or another fails with ENOSPC. The error says so, nothing is half-done, and when there is room the
 * same command ends as if nothing had been.
 */
const MiB = 1024 * 1024;

function onSmallDisk(scene: Scene, bytes: number): () => void {
  const image = join(scene.folder, 'disk');
  execFileSync('truncate', ['--size', String(bytes), image]);
  execFileSync('mkfs.ext4', ['-q', '-m', '0', image]);
  mkdirSync(scene.stateDir, { mode: 0o700 });
  execFileSync('mount', ['-o', 'loop', image, scene.stateDir]);
  execFileSync('chmod', ['0700', scene.stateDir]);
  execFileSync('rmdir', [join(scene.stateDir, 'lost+found')]);
  return () => execFileSync('umount', ['--recursive', '--lazy', scene.stateDir]);
}

/** Fills the disk to the brim, then gives so many bytes back. */
function fillBut(scene: Scene, bytes: number): string {
  const path = join(scene.stateDir, '.filler');
  const fd = openSync(path, 'w');
  let size = 0;
  try {
    for (const chunk of [Buffer.alloc(MiB), Buffer.alloc(4096)])
      for (let full = false; !full; )
        try {
          size += writeSync(fd, chunk);
        } catch (error) {
          assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
          full = true;
        }
    ftruncateSync(fd, Math.max(0, size - bytes));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return path;
}

test('a full disk is told as such wherever it strikes, and the work goes on when there is room', {
  skip: whyNot(['root', 'mount', 'losetup']) ?? false,
}, async () => {
  const scene = await openScene();
  let unmount: (() => void) | null = null;
  try {
    const files = Array.from({ length: 40 }, (_, n) => ({
      type: 'file' as const,
      path: `f${n}`,
      content: `${n} ${'x'.repeat(60_000)}`,
    }));
    await scene.putLayers('big', [
      { name: '0.tar', entries: files },
      { name: '1.tar.gz', entries: [{ type: 'file', path: 'last', content: 'y' }] },
    ]);
    unmount = onSmallDisk(scene, 48 * MiB);
    await scene.json(['gc']); // makes the state directory
    const quick = { FLYD_RETRY: 'attempts=2,pauseMs=5,pauseMsMax=5' };
    const pull = scene.pullArgs('big', '--json');
    for (const free of [0, 1 * MiB, 4 * MiB]) {
      const filler = fillBut(scene, free);
      const failed = await scene.flyd(pull, quick);
      assert.equal(failed.code, 1, `${free} free: ${failed.stdout}${failed.stderr}`);
      const { error } = JSON.parse(failed.stdout) as { error: { code: string; hint: string | null } };
      assert.equal(error.code, 'no_space', failed.stdout);
      rmSync(filler);
      const verdict = await scene.json<{ violations: unknown[] }>(['doctor', '--verify']);
      assert.deepEqual(verdict.violations, [], `${free} free`);
    }
    const parked = await scene.json<{ id: string; status: string }[]>(['runs', '--live']);
    for (const { id, status } of parked)
      if (status === 'parked') await scene.flyd(['runs', 'retry', id, '--no-wait']);
    const done = await scene.flyd(pull);
    assert.equal(done.code, 0, done.stdout + done.stderr);
    await scene.json(['gc']);
    const { leftovers } = await scene.json<{ leftovers: unknown[] }>(['doctor', '--verify']);
    assert.deepEqual(leftovers, []);
    for (const { id } of await scene.json<{ id: string }[]>(['activations']))
      await scene.json(['deactivate', id]);
  } finally {
    unmount?.();
    await scene.close();
  }
});
