import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { whyNot } from '../support/needs.ts';
import { makeSmallDisk } from '../support/small-disk.ts';
import { openScene } from './scene.ts';
import * as shapes from './shapes.ts';

const skip = whyNot(['root', 'mount', 'losetup', 'overlay', 'erofs', 'btrfs', 'mkfs.btrfs']) ?? false;
const MiB = 1024 * 1024;

/**
 * EDQUOT, where the file system itself has room: of btrfs's quota groups, which count for root too. Whatever meets it,
 * a write, a name, the database, says that it is a quota; nothing is half-done, and more room lets the work go on.
 */
test('a quota that is used up is told as such, and the work goes on when it is raised', {
  skip,
}, async (t) => {
  const scene = await openScene();
  const disk = makeSmallDisk(
    join(scene.folder, 'quota.img'),
    join(scene.folder, 'quota'),
    256 * MiB,
    'btrfs',
  );
  const mounts = join(scene.folder, 'quota-mnt');
  try {
    await scene.putLayers('big', [
      {
        name: '0.tar.gz',
        entries: Array.from({ length: 48 }, (_, n) => ({
          type: 'file' as const,
          path: `f${n}`,
          content: randomBytes(60_000).toString('base64'),
        })),
      },
    ]);
    execFileSync('btrfs', ['quota', 'enable', disk.folder]);
    const kinds = new Map<string, number>();
    for (const driver of ['overlay', 'erofs', 'copy'])
      for (const limit of [5, 8]) {
        const label = `${driver}, ${limit} MiB`;
        const state = join(disk.folder, `${driver}-${limit}`);
        const limitTo = (what: string): void =>
          void execFileSync('btrfs', ['qgroup', 'limit', what, state], { stdio: 'ignore' });
        execFileSync('btrfs', ['subvolume', 'create', state], { stdio: 'ignore' });
        chmodSync(state, 0o700);
        const place = ['--state-dir', state, '--mount-root', mounts, '--json'];
        const pull = [
          ...['pull', 'big', '--source', 's3://images', '--endpoint', scene.endpoint, '--anonymous'],
          ...['--driver', driver, '--no-activate', ...place],
        ];
        const run = (args: readonly string[]) =>
          scene.start(args, { FLYD_RETRY: 'attempts=2,pauseMs=5,pauseMsMax=5' }).ended;
        limitTo(`${limit}M`);
        const refused = await run([...pull, '--timeout', 'databaseMs=2000']);
        // SQLite maps the index of its log, and what btrfs refuses to a mapped page nobody can catch: it counts as a kill.
        if (refused.signal === 'SIGBUS') kinds.set('SIGBUS', 1);
        else if (refused.code !== 0) {
          const { error } = shapes.failure.parse(JSON.parse(refused.stdout));
          assert.equal(error.code, 'no_space', `${label}: ${refused.stdout}`);
          assert.match(`${error.message} ${error.hint}`, /quota/, `${label}: ${refused.stdout}`);
          kinds.set(error.op ?? '', (kinds.get(error.op ?? '') ?? 0) + 1);
        }
        limitTo('none');
        assert.equal((await run(pull)).code, 0, `${label}: it goes on`);
        const verified = await run(['doctor', '--verify', ...place]);
        assert.equal(verified.code, 0, `${label}: ${verified.stdout}`);
      }
    for (const [op, times] of kinds) t.diagnostic(`${times} x ${op}`);
    kinds.delete('SIGBUS');
    assert.ok(kinds.size > 0, 'some pull was told of its quota');
  } finally {
    disk.close();
    await scene.close();
  }
});
