import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { diffRootfs, type Rootfs, readRootfs } from '../support/rootfs.ts';
import { leftovers, rows } from './judge.ts';
import { type Ended, type FlydOptions, type Running, runFlyd, type Sandbox } from './sandbox.ts';

/** System calls that could change a file, a mount or a device. */
const changing =
  '/^(ioctl|write|pwrite|pwritev|writev|rename|mkdir|rmdir|unlink|link|symlink|mknod|fchown|fchmod|chmod|chown|utimens|setxattr|lsetxattr|openat2|truncate|ftruncate|fallocate|copy_file_range|mount|umount|move_mount|fsmount|fsconfig|open_tree|execve)';
const strace = ['strace', '--follow-forks', '-qq', '-e', 'signal=all', '-e', `trace=${changing}`];
/** With one thread for files, the how-manieth call of a thread is the same call each time. */
const env = { UV_THREADPOOL_SIZE: '1' };

/** A call of an undisturbed command, which a second one like it makes again. */
export interface Call {
  name: string;
  /** The how-manieth of its thread. */
  when: number;
}

/** Runs a command under strace to its end; gives what strace saw, and what the command said. */
export async function callsOf(
  sandbox: Sandbox,
  run: (options: FlydOptions) => Promise<Ended>,
): Promise<{ calls: string; ended: Ended }> {
  const file = join(sandbox.folder, 'calls');
  // By seccomp strace wakes for these calls only, which a guest feels; signals cannot be put in that way.
  const ended = await run({ env, under: [...strace, '--seccomp-bpf', '-o', file] });
  return { calls: readFileSync(file, 'utf8'), ended };
}

/** The middle one of the calls that match. */
export function callAt(log: string, place: RegExp): Call {
  const counts = new Map<string, number>();
  const found: Call[] = [];
  for (const line of log.split('\n')) {
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

export interface Stopped {
  pid: number;
  ended: Promise<Ended>;
  /** All that it did, as strace saw it. */
  log(): string;
  /** Kills it, if it is still there: a test that fails leaves nobody stopped. */
  kill(): void;
}

let count = 0;

/** Starts a command that is stopped in this call, and waits until it is. */
export async function stopAt(
  sandbox: Sandbox,
  start: (options: FlydOptions) => Running,
  { name, when }: Call,
): Promise<Stopped> {
  const file = join(sandbox.folder, `calls-${++count}`);
  const under = [...strace, '-e', `inject=${name}:signal=STOP:when=${when}`, '-o', file];
  const victim = start({ env, under });
  let over: Ended | undefined;
  void victim.ended.then((ended) => {
    over = ended;
  });
  const log = (): string => (existsSync(file) ? readFileSync(file, 'utf8') : '');
  while (!log().includes('--- stopped by SIGSTOP')) {
    assert.equal(over, undefined, `it ended and was never stopped: ${JSON.stringify(over)}`);
    await new Promise((go) => setTimeout(go, 20));
  }
  const pid = Number(/^(\d+) .*--- SIGSTOP/m.exec(log())?.[1]);
  const kill = (): void => {
    if (over === undefined) signalAll([pid], 'SIGKILL');
  };
  return { pid, ended: victim.ended, log, kill };
}

/** The call in which it was stopped, as strace wrote it. */
export function callOfStop({ pid, log }: Stopped): string {
  const own = log()
    .split('\n')
    .filter((line) => line.startsWith(`${pid} `));
  return (
    own
      .slice(
        0,
        own.findIndex((line) => line.includes('--- SIGSTOP')),
      )
      .findLast(isCall) ?? ''
  );
}

/** Calls that a thread made after it was stopped. */
export function callsAfterStop(log: string): string[] {
  const stopped = new Set<string>();
  return log.split('\n').filter((line) => {
    const [, thread = '', rest = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? [];
    if (rest.startsWith('--- stopped by SIGSTOP')) stopped.add(thread);
    return stopped.has(thread) && isCall(line);
  });
}

const isCall = (line: string): boolean => /^\d+\s+\w+\(/.test(line);

/** Lets others do the work of whoever is stopped. */
export async function takeOver(sandbox: Sandbox): Promise<void> {
  const live = 'SELECT id FROM runs WHERE ended_at IS NULL';
  assert.notEqual(rows(sandbox, live).length, 0, 'it was stopped in the middle');
  const impatient = { env: { FLYD_STUCK_AFTER_MS: '1500' } };
  // The first that comes when it has been silent for so long kills it; whoever comes next takes its runs over.
  for (let tries = 0; tries < 20 && rows(sandbox, live).length > 0; tries += 1)
    await runFlyd(sandbox, ['resume', '--all', '--json'], impatient);
  assert.deepEqual(rows(sandbox, live), [], 'another has done its work');
}

/**
 * Continues who was stopped: not a byte of what is there and not a device may change, every activation has the
 * tree that it should have, and nothing is left over.
 */
export async function continueAndCompare(
  sandbox: Sandbox,
  pids: readonly number[],
  ended: Promise<unknown>,
  tree: Rootfs,
): Promise<void> {
  const before = look(sandbox);
  signalAll(pids, 'SIGCONT');
  await ended;
  const after = look(sandbox);
  assert.deepEqual(after.devices, before.devices);
  assert.deepEqual(diffRootfs(before.volumes, after.volumes), []);
  assert.equal(after.trees.length, before.trees.length);
  for (const each of [...before.trees, ...after.trees]) assert.deepEqual(diffRootfs(tree, each), []);
  assert.deepEqual(leftovers(sandbox), []);
}

/** Signals those that are still there: none should be, once another has their work. */
export function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids)
    try {
      process.kill(pid, signal);
    } catch {
      // it is gone
    }
}

/** What is there now: the files of volumes, what is active, and the tables of device-mapper. */
function look(sandbox: Sandbox): { volumes: Rootfs; trees: Rootfs[]; devices: string } {
  const active = rows<{ rootfs: string }>(sandbox, "SELECT rootfs FROM activations WHERE state = 'active'");
  return {
    volumes: readRootfs(join(sandbox.state, 'volumes')),
    trees: active.map(({ rootfs }) => readRootfs(rootfs)),
    devices: sandbox.driver === 'devmapper' ? spawnSync('dmsetup', ['table']).stdout.toString() : '',
  };
}
