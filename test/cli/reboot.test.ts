import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { whyNot } from '../support/needs.ts';
import { openScene, type Scene, smallFamily } from './scene.ts';

interface Activated {
  output: { id: string; rootfs: string };
}
interface Restored {
  machine: string;
  status: string;
  output: { restored: string[]; removed: string[]; failed: { id: string; error: { code: string } }[] };
}

/** What a reboot does to mounts: they are gone, and nobody was asked. */
function loseMounts({ mountRoot }: Scene): void {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => line.split(' ')[4] ?? [])
    .filter((point) => point.startsWith(`${mountRoot}/`));
  for (const point of points) execFileSync('umount', [point]);
  rmSync(mountRoot, { recursive: true });
}

test('after a reboot, resume mounts what is active again, with what was written, and removes the ephemeral', {
  skip: whyNot(['root', 'overlay', 'mount']) ?? false,
}, async () => {
  for (const driver of ['overlay', 'copy']) {
    const scene = await openScene();
    try {
      await scene.putLayers('small', smallFamily);
      await scene.json([...scene.pullArgs('small', '--no-activate'), '--driver', driver]);
      const activate = (...flags: string[]) => scene.json<Activated>(['activate', 'small', ...flags]);
      const { output: kept } = await activate('--name', 'kept');
      const { output: fixed } = await activate('--read-only');
      const { output: passing } = await activate('--ephemeral');
      writeFileSync(join(kept.rootfs, 'note'), 'written before');
      loseMounts(scene);
      const verdict = await scene.json<{ violations: { subject: string }[] }>(['doctor', '--verify'], 1);
      assert.equal(verdict.violations.length, 3);

      const [first, ...more] = await scene.json<Restored[]>(['resume']);
      assert.deepEqual([first?.machine, first?.status, more.length], ['restore', 'done', 0]);
      assert.deepEqual(first?.output.restored.toSorted(), [kept.id, fixed.id].toSorted());
      assert.deepEqual([first?.output.removed, first?.output.failed], [[passing.id], []]);
      assert.equal(readFileSync(join(kept.rootfs, 'note'), 'utf8'), 'written before');
      assert.throws(() => writeFileSync(join(fixed.rootfs, 'note'), ''), { code: 'EROFS' });
      assert.equal(existsSync(passing.rootfs), false);
      await scene.json(['doctor', '--verify']);
      assert.deepEqual(await scene.json(['resume']), [], 'a second time there is nothing to do');
      for (const { id } of [kept, fixed]) await scene.json(['deactivate', id]);
    } finally {
      await scene.close();
    }
  }
});

test('an activation that cannot come back is told with its reason, and keeps no other from it', {
  skip: whyNot(['root', 'overlay', 'mount']) ?? false,
}, async () => {
  const scene = await openScene();
  try {
    await scene.putLayers('small', smallFamily);
    await scene.json([...scene.pullArgs('small', '--no-activate'), '--driver', 'overlay']);
    const { output: lost } = await scene.json<Activated>(['activate', 'small']);
    const { output: sound } = await scene.json<Activated>(['activate', 'small']);
    loseMounts(scene);
    rmSync(join(scene.stateDir, 'volumes/overlay', lost.id), { recursive: true });
    const [first] = await scene.json<Restored[]>(['resume'], 1);
    assert.deepEqual(first?.output.restored, [sound.id]);
    assert.deepEqual(
      first?.output.failed.map(({ id, error }) => `${id} ${error.code}`),
      [`${lost.id} volume_missing`],
    );
    for (const { id } of [lost, sound]) await scene.json(['deactivate', id]);
    await scene.json(['doctor', '--verify']);
  } finally {
    await scene.close();
  }
});
