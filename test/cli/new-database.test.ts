import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { whyNot } from '../support/needs.ts';
import { openScene, smallFamily } from './scene.ts';

interface Activated {
  output: { id: string; path: string; rootfs: string };
}
interface Verdict {
  violations: unknown[];
  leftovers: unknown[];
}

const isMounted = (path: string): boolean =>
  readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${path} `);

for (const driver of ['overlay', 'erofs'] as const)
  test(`a new database takes down no activation that a process holds, and deletes nothing (${driver})`, async (t) => {
    const reason = whyNot(['root', driver, 'overlay']);
    if (reason !== null) return t.skip(reason);
    const scene = await openScene();
    const activate = async (): Promise<Activated['output']> =>
      (await scene.json<Activated>(['activate', 'small'])).output;
    const files = (): string[] =>
      readdirSync(join(scene.stateDir, 'volumes', driver), { recursive: true, encoding: 'utf8' });
    try {
      await scene.putLayers('small', smallFamily);
      const pull = scene.pullArgs('small', '--no-activate', '--driver', driver);
      await scene.json(pull);
      const [free, held] = [await activate(), await activate()];
      writeFileSync(join(free.rootfs, 'free-note'), 'mine');
      writeFileSync(join(held.rootfs, 'held-note'), 'mine');
      const holder = spawn('sleep', ['600'], { cwd: held.rootfs });
      try {
        await once(holder, 'spawn');
        rmSync(join(scene.stateDir, 'flyd.db'));
        await scene.json(['gc'], 1);
        await scene.json(['db', 'new']);
        for (const command of [['resume'], ['gc'], ['activate', 'small']]) {
          const refused = await scene.flyd(command);
          assert.equal(refused.code, 1, refused.stdout);
          assert.match(refused.stderr, new RegExp(`${held.path} is held by ${holder.pid} `));
        }
        assert.ok(isMounted(held.path));
        assert.equal(readFileSync(join(held.rootfs, 'held-note'), 'utf8'), 'mine');
      } finally {
        holder.kill('SIGKILL');
        await once(holder, 'exit');
      }
      const { stderr } = await scene.flyd(['resume']);
      await scene.json(['gc']);
      await scene.flyd(['doctor', '--fix']);
      for (const [{ id, path }, note] of [
        [free, 'free-note'],
        [held, 'held-note'],
      ] as const) {
        assert.match(stderr, new RegExp(`kept ${id}`));
        assert.ok(!isMounted(path));
        assert.ok(
          files().some((file) => file.startsWith(id) && file.endsWith(`/${note}`)),
          'what was written is kept',
        );
      }
      // Beside them the same image can be had anew.
      await scene.json(pull);
      const anew = await activate();
      assert.ok(existsSync(join(anew.rootfs, 'etc/motd')));
      await scene.json(['deactivate', anew.id]);

      await scene.json(['db', 'forget', '--all']);
      await scene.json(['gc']);
      assert.equal(
        files().some((path) => path.startsWith(free.id) || path.startsWith(held.id)),
        false,
      );
      const { violations, leftovers } = await scene.json<Verdict>(['doctor', '--verify']);
      assert.deepEqual([violations, leftovers], [[], []]);
    } finally {
      for (const name of existsSync(scene.mountRoot) ? readdirSync(scene.mountRoot) : [])
        spawnSync('umount', [join(scene.mountRoot, name)]);
      await scene.close();
    }
  });
