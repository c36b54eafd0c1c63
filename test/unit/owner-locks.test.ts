import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { createOwnerLocks } from '#infra/owner-locks';

const holder = new URL('../support/owner-holder.ts', import.meta.url).pathname;

let folder = '';
let children: ChildProcess[] = [];
const pids: number[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flyd-owners-'));
});
afterEach(async () => {
  for (const pid of pids.splice(0)) process.kill(pid, 'SIGKILL');
  await Promise.all(children.map((child) => end(child, 'SIGKILL')));
  children = [];
  rmSync(folder, { recursive: true, force: true });
});

const dead = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (dead(child)) return;
  const ended = new Promise((give) => child.once('exit', give));
  child.kill(signal);
  await ended;
}

const line = (child: ChildProcess): Promise<string> =>
  new Promise((give, fail) => {
    child.stdout?.once('data', (data: Buffer) => give(data.toString().trim()));
    child.once('exit', (code) => fail(new Error(`the holder ended: ${code}`)));
  });

async function startHolder(token: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [holder, folder, token], { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  assert.equal(await line(child), 'held');
  return child;
}

const ask = (child: ChildProcess, what: string): Promise<string> => {
  const answer = line(child);
  child.stdin?.write(`${what}\n`);
  return answer;
};

/** The state letter of proc_pid_stat(5), or null when the process is gone. */
function stateOf(pid: number): string | null {
  try {
    return /\) (.)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1] ?? null;
  } catch {
    return null;
  }
}

/** The kernel frees a killed process's locks a moment before or after its parent hears of the end. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((give) => setTimeout(give, 5));
}

test('a lock ends with its process, however it ends', async () => {
  const child = await startHolder('token-of-a');
  const locks = createOwnerLocks({ folder });
  assert.equal(locks.isHeld('token-of-a'), true);
  assert.equal(locks.isHeld('token-of-b'), false);
  await end(child, 'SIGKILL');
  assert.equal(locks.isHeld('token-of-a'), false);
  locks.close();
});

test('an owner that lets go is gone at once, with its file', async () => {
  const child = await startHolder('token-of-a');
  const locks = createOwnerLocks({ folder });
  assert.equal(await ask(child, 'release'), 'released');
  assert.equal(locks.isHeld('token-of-a'), false);
  locks.close();
  assert.deepEqual(readdirSync(folder), []);
});

test('a command that outlives its owner counts as the owner', async () => {
  const child = await startHolder('token-of-a');
  const pid = Number((await ask(child, 'command')).split(' ')[1]);
  await end(child, 'SIGKILL');
  const locks = createOwnerLocks({ folder });
  assert.equal(locks.isHeld('token-of-a'), true);
  assert.ok(readdirSync(folder).includes('token-of-a'));
  process.kill(pid, 'SIGKILL');
  await until(() => !locks.isHeld('token-of-a'));
  locks.close();
});

test('an owner that lets go while its command runs still counts', async () => {
  const child = await startHolder('token-of-a');
  pids.push(Number((await ask(child, 'command')).split(' ')[1]));
  assert.equal(await ask(child, 'release'), 'released');
  const locks = createOwnerLocks({ folder });
  assert.equal(locks.isHeld('token-of-a'), true);
  locks.close();
});

test('a stopped owner shows no sign of life, still holds, and can be killed', async () => {
  const child = await startHolder('token-of-a');
  const locks = createOwnerLocks({ folder });
  assert.ok((locks.silentMs('token-of-a') ?? Number.NaN) < 60_000);
  child.kill('SIGSTOP');
  let silent = locks.silentMs('token-of-a') ?? 0;
  await until(() => {
    const now = locks.silentMs('token-of-a') ?? 0;
    assert.ok(now >= silent || silent < 1_500, 'the silence grows');
    silent = Math.max(silent, now);
    return silent > 2_500;
  });
  assert.equal(locks.isHeld('token-of-a'), true);
  const ended = new Promise((give) => child.once('exit', (_, signal) => give(signal)));
  assert.equal(locks.kill('token-of-a', 'silent'), true);
  assert.equal(await ended, 'SIGKILL');
  assert.equal(locks.isHeld('token-of-a'), false);
  assert.equal(locks.kill('token-of-a', 'silent'), false);
  locks.close();
});

test('a command that was stopped with its owner dies with it; one that works on is waited for', async () => {
  const child = await startHolder('token-of-a');
  const [stopped, working] = [
    Number((await ask(child, 'command')).split(' ')[1]),
    Number((await ask(child, 'command')).split(' ')[1]),
  ];
  pids.push(working);
  process.kill(stopped, 'SIGSTOP');
  child.kill('SIGSTOP');
  const locks = createOwnerLocks({ folder });
  await until(() => stateOf(stopped) === 'T' && stateOf(child.pid ?? 0) === 'T');
  assert.equal(locks.kill('token-of-a', 'silent'), true);
  await until(() => [null, 'Z'].includes(stateOf(stopped)));
  assert.equal(locks.isHeld('token-of-a'), true);
  assert.equal(stateOf(working), 'S');
  process.kill(working, 'SIGSTOP');
  await until(() => stateOf(working) === 'T');
  assert.equal(locks.kill('token-of-a', 'silent'), true, 'its owner is dead');
  await until(() => !locks.isHeld('token-of-a'));
  pids.pop();
  locks.close();
});

test('setting the clock of the host makes nobody silent', async () => {
  // The sign of life is the monotonic clock: a file whose mtime is the wall clock is never long silent.
  const locks = createOwnerLocks({ folder });
  writeFileSync(join(folder, 'token-of-a'), '{}');
  utimesSync(join(folder, 'token-of-a'), new Date(), new Date());
  assert.equal(locks.silentMs('token-of-a'), 0);
  assert.equal(locks.silentMs('token-of-nobody'), null);
  locks.close();
});

test('a later process of the same pid is not killed for an earlier one', async () => {
  const child = await startHolder('token-of-a');
  const locks = createOwnerLocks({ folder });
  writeFileSync(join(folder, 'token-of-a'), JSON.stringify({ pid: child.pid, startTime: '1' }));
  assert.equal(locks.kill('token-of-a', 'silent'), false);
  assert.equal(dead(child), false);
  locks.close();
});

test('whoever holds no lock is not killed, and no file makes flyd kill itself', async () => {
  const child = await startHolder('token-of-a');
  const locks = createOwnerLocks({ folder });
  const mine = locks.hold('token-of-me');
  assert.equal(locks.kill('token-of-me', 'silent'), false);
  const startTime = readFileSync(`/proc/${child.pid}/stat`, 'latin1').split(') ')[1]?.split(' ')[19];
  writeFileSync(join(folder, 'token-free'), JSON.stringify({ pid: child.pid, startTime }));
  assert.equal(locks.kill('token-free', 'silent'), false);
  assert.equal(locks.kill('token-of-nobody', 'silent'), false);
  assert.equal(dead(child), false);
  mine.release();
});

test('files of owners that are gone are removed at the next start, those of living ones stay', async () => {
  const child = await startHolder('token-of-a');
  writeFileSync(join(folder, 'token-gone'), '{}');
  const locks = createOwnerLocks({ folder });
  assert.equal(readdirSync(folder).includes('token-gone'), false);
  assert.equal(locks.isHeld('token-of-a'), true);
  locks.close();
  assert.deepEqual(readdirSync(folder), ['token-of-a']);
  await end(child, 'SIGKILL');
});

test('many processes that start and sweep at once all keep their locks', async () => {
  const tokens = Array.from({ length: 6 }, (_, n) => `token-of-${n}`);
  await Promise.all(tokens.map(startHolder));
  const locks = createOwnerLocks({ folder });
  for (const token of tokens) assert.equal(locks.isHeld(token), true);
  locks.close();
});

test('a token never leaves the folder', () => {
  const locks = createOwnerLocks({ folder });
  assert.throws(() => locks.isHeld('../../etc/passwd'), { name: 'FlydError' });
  locks.close();
});
