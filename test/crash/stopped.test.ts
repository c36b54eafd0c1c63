import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { whyNot } from '../support/needs.ts';
import { diffRootfs, readRootfs } from '../support/rootfs.ts';
import { makeFamily } from './family.ts';
import { leftovers, rows } from './judge.ts';
import {
  documentOf,
  labFolder,
  openSandbox,
  runFlyd,
  runPull,
  type Sandbox,
  startPull,
  until,
} from './sandbox.ts';

/**
 * An owner that is stopped in the middle of something, and continued after another has done its work: strace
 * sees every call of its that could change a file or a mount, and there is none after the stop.
 */
const changing =
  '/^(write|pwrite|pwritev|writev|rename|mkdir|rmdir|unlink|link|symlink|mknod|fchown|fchmod|chmod|chown|utimens|setxattr|lsetxattr|openat2|truncate|ftruncate|fallocate|copy_file_range|mount|umount|move_mount|fsmount|fsconfig|open_tree|execve)';
/** With one thread for files, the how-manieth call of a thread is the same call each time. */
const env = { UV_THREADPOOL_SIZE: '1' };
const strace = ['strace', '--follow-forks', '-qq', '-e', 'signal=all', '-e', `trace=${changing}`];

/** Where in the work: a line of strace's that only that part of a pull has. */
const places: Readonly<Record<string, RegExp>> = {
  unpacks: /mkdirat\(\d+, "[^"]+", 0700\)/,
  'makes a snapshot': /mkdir(?:at)?\([^"]*"[^"]*\/volumes\/overlay\/act-[^"]*"/,
  mounts: /(?:move_mount\(|mount\("overlay")/,
};

interface Call {
  name: string;
  /** The how-manieth of its thread. */
  when: number;
}

/** The middle one of the calls that match, in an undisturbed pull. */
async function callAt(sandbox: Sandbox, place: RegExp): Promise<Call> {
  const file = join(sandbox.folder, 'calls');
  documentOf(await runPull(sandbox, { env, under: [...strace, '-o', file] }));
  const counts = new Map<string, number>();
  const found: Call[] = [];
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [, thread, name] = /^(\d+)\s+(\w+)\(/.exec(line) ?? [];
    if (thread === undefined || name === undefined) continue;
    const when = (counts.get(`${thread} ${name}`) ?? 0) + 1;
    counts.set(`${thread} ${name}`, when);
    if (place.test(line)) found.push({ name, when });
  }
  const call = found[Math.floor(found.length / 2)];
  assert.ok(call, `no call like ${place}`);
  return call;
}

/** Calls that a thread made after it was stopped. */
function callsAfterStop(log: string): string[] {
  const stopped = new Set<string>();
  return log.split('\n').filter((line) => {
    const [, thread = '', rest = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? [];
    if (rest.startsWith('--- stopped by SIGSTOP')) stopped.add(thread);
    return stopped.has(thread) && /^\w+\(/.test(rest);
  });
}

for (const [what, place] of Object.entries(places))
  test(`a process that is stopped while it ${what} does nothing more once another has its work`, async (t) => {
    const missing = whyNot(['zstd', 'getfattr', 'strace', 'root', 'overlay', 'setfattr']);
    if (missing !== null) return t.skip(missing);
    const lab = labFolder(t);
    const family = makeFamily(lab);
    const quiet = await openSandbox(lab, family, 'overlay');
    const { name, when } = await callAt(quiet, place).finally(() => quiet.close());

    const sandbox = await openSandbox(lab, family, 'overlay');
    t.after(() => sandbox.close());
    const file = join(sandbox.folder, 'calls');
    const under = [...strace, '-e', `inject=${name}:signal=STOP:when=${when}`, '-o', file];
    const victim = startPull(sandbox, { env, under });
    const log = (): string => (existsSync(file) ? readFileSync(file, 'utf8') : '');
    const isStopped = (): true | null => (log().includes('--- stopped by SIGSTOP') ? true : null);
    await until('it is stopped', isStopped);
    const pid = Number(/^\d+/.exec(log())?.[0]);

    const live = 'SELECT id FROM runs WHERE ended_at IS NULL';
    assert.notEqual(rows(sandbox, live).length, 0, 'it was stopped in the middle');
    const impatient = { env: { FLYD_STUCK_AFTER_MS: '1500' } };
    // The first that comes when it has been silent for so long kills it; whoever comes next takes its runs over.
    for (let tries = 0; tries < 20 && rows(sandbox, live).length > 0; tries += 1)
      await runFlyd(sandbox, ['resume', '--all', '--json'], impatient);
    assert.deepEqual(rows(sandbox, live), [], 'another has done its work');
    const before = readRootfs(join(sandbox.state, 'volumes'));
    try {
      process.kill(pid, 'SIGCONT');
    } catch {
      // it is gone, as it should be
    }
    await victim.ended;
    assert.deepEqual(callsAfterStop(log()), []);
    assert.match(log(), /\+\+\+ killed by SIGKILL \+\+\+/);
    assert.deepEqual(diffRootfs(before, readRootfs(join(sandbox.state, 'volumes'))), []);
    assert.deepEqual(leftovers(sandbox), []);
    const [active] = rows<{ rootfs: string }>(
      sandbox,
      "SELECT rootfs FROM activations WHERE state = 'active'",
    );
    assert.ok(active !== undefined && existsSync(join(active.rootfs, 'app/main')));
  });
