import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readMounts } from '#infra/mountinfo';
import type { DriverName } from '#infra/volumes/driver';
import { isPrivileged } from '#infra/volumes/privilege';
import { hasDeviceMapper, run, unmapEverything } from '../contract/volumes/subject.ts';
import { whyNot } from '../support/needs.ts';

/** kill -9 at every external command of a driver; then it goes on, ends well, and leaves nothing. */
const life = fileURLToPath(new URL('volume-life.ts', import.meta.url));
const only = process.env.FLYD_TEST_DRIVER;
const skip = (await isPrivileged()) ? false : 'needs root (run the tests as root)';
/** Take only each so-manieth command: the guests of scripts/vm are slow. */
const stride = Number(process.env.FLYD_TEST_STRIDE ?? 1);
const moments = ['before', 'during', 'after'] as const;

function live(folder: string, name: DriverName, ...kill: string[]) {
  const done = spawnSync(process.execPath, [life, folder, name, ...kill], { encoding: 'utf8' });
  return {
    signal: done.signal,
    status: done.status,
    text: done.stdout + done.stderr,
    commands: Number(done.stdout),
  };
}

/** What is left of a life that ended, judged by the system's own tools. */
async function assertNothingLeft(folder: string, name: DriverName): Promise<void> {
  const mounts = (await readMounts()).map((m) => m.mountPoint).filter((p) => p.startsWith(`${folder}/`));
  assert.deepEqual(mounts, name === 'btrfs' ? [join(folder, 'state/volumes/btrfs')] : []);
  assert.deepEqual(readdirSync(join(folder, 'mnt')), []);
  const files = readdirSync(join(folder, 'state/volumes', name), { recursive: true });
  assert.deepEqual(
    files.filter((file) => file !== 'mnt'),
    [],
  );
  if (name !== 'devmapper') return;
  const uuids = run('dmsetup', 'info', '-c', '--noheadings', '-o', 'uuid').trim().split('\n');
  const [pool = '', ...others] = uuids.filter((uuid) => uuid.startsWith('flyd-'));
  assert.deepEqual(others, [], 'only the pool is mapped');
  const status = run('dmsetup', 'status', '--noflush', pool);
  assert.match(status, / thin-pool \d+ \d+\/\d+ 0\/\d+ - rw /, 'not a block is used, no metadata is held');
}

for (const name of ['copy', 'btrfs', 'erofs', 'overlay', 'devmapper'] as const) {
  // Where the kernel has no device-mapper, test/vm/volumes.test.ts runs this in a guest that has.
  if ((name === 'devmapper' && !hasDeviceMapper) || (only !== undefined && only !== name)) continue;

  const missing = name === 'btrfs' ? whyNot(['btrfs', 'mkfs.btrfs']) : null;
  test(`${name}: killed at its commands`, { skip: missing ?? skip }, async (t) => {
    const root = realpathSync(mkdtempSync(join(tmpdir(), 'flyd-life-')));
    t.after(async () => {
      await unmapEverything(root);
      rmSync(root, { recursive: true });
    });
    const fresh = async (label: string) => {
      const folder = join(root, label);
      mkdirSync(folder);
      return folder;
    };
    const first = await fresh('undisturbed');
    const undisturbed = live(first, name);
    assert.equal(undisturbed.status, 0, undisturbed.text);
    await assertNothingLeft(first, name);
    await unmapEverything(first);

    for (let n = 1; n <= undisturbed.commands; n += stride) {
      // Slow in a guest, and where a file system is made first: there each command gets one of the moments.
      const chosen =
        name === 'devmapper' || name === 'btrfs' ? [moments[n % moments.length] ?? 'after'] : moments;
      for (const when of chosen) {
        const label = `killed-${n}-${when}`;
        const folder = await fresh(label);
        const killed = live(folder, name, String(n), when);
        assert.equal(killed.signal, 'SIGKILL', `${label}: ${killed.text}`);
        const resumed = live(folder, name);
        assert.equal(resumed.status, 0, `${label}: ${resumed.signal} ${resumed.text}`);
        await assertNothingLeft(folder, name);
        await unmapEverything(folder);
        rmSync(folder, { recursive: true });
      }
    }
    t.diagnostic(`${undisturbed.commands} commands`);
  });
}
