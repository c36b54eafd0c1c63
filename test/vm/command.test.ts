import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkout, runVm, startVm, whyNoGuest } from './guest.ts';

/** What `scripts/vm` promises: the command's own result, or the truth about what became of the guest. */

const skip = whyNoGuest() ?? false;

function freshFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'flyd-vm-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const runFolders = (folder: string): string[] =>
  readdirSync(folder).filter((name) => name.startsWith('flyd-vm.'));

/** Until the condition holds; a minute at most, which no working machine needs. */
async function eventually(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    if (holds()) return;
    await sleep(100);
  }
  assert.fail(`it did not come to pass: ${what}`);
}

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);

/** The process id of qemu below this script. */
function qemuBelow(pid: number): number {
  for (const child of childrenOf(pid)) {
    if (readFileSync(`/proc/${child}/comm`, 'utf8').startsWith('qemu-system')) return child;
    const found = qemuBelow(child);
    if (found !== 0) return found;
  }
  return 0;
}

/** Starts a guest that says `up` and waits, with its run folder in `folder`. */
async function startWaiting(folder: string) {
  const { child, ended } = startVm(['--timeout', '120', '--', 'sh', '-c', 'echo up; sleep 300'], {
    ...process.env,
    TMPDIR: folder,
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    ended.then((outcome) => reject(new Error(`it ended early: ${JSON.stringify(outcome)}`)), reject);
  });
  const { pid } = child;
  assert.ok(pid);
  return { pid, ended };
}

describe('scripts/vm', { skip }, () => {
  test('hands over arguments, environment and folder, and keeps stdout, stderr and status apart', async () => {
    const script = 'printf "%s|" "$@" "$GREETING"; pwd; echo oops >&2; exit 7';
    const { code, stdout, stderr } = await runVm(
      ...['--env', "GREETING=it's $HOME", '--', 'sh', '-c', script, 'sh'],
      ...['a b', '', "q'q", '*', 'new\nline'],
    );
    assert.equal(stdout, `a b||q'q|*|new\nline|it's $HOME|${checkout}\n`);
    assert.equal(stderr, 'oops\n');
    assert.equal(code, 7);
  });

  test('large output arrives whole, and what the command leaves running does not hold it up', async () => {
    const script =
      'sleep 1000 & head -c 30000000 /dev/zero | tr "\\0" x; head -c 1000000 /dev/zero | tr "\\0" y >&2';
    const { code, stdout, stderr } = await runVm('--', 'sh', '-c', script);
    assert.deepEqual([code, stdout.length, stderr.length], [0, 30_000_000, 1_000_000]);
  });

  test('a command that is not there is 127, one that is killed 128 and its signal', async () => {
    const [missing, killed] = await Promise.all([
      runVm('--', 'no-such-command'),
      runVm('--', 'sh', '-c', 'kill -9 $$'),
    ]);
    assert.equal(missing.code, 127);
    assert.match(missing.stderr, /no-such-command: not found/);
    assert.equal(killed.code, 137);
  });

  test('a guest that takes too long is 124, one that panics 125 with the reason', async () => {
    const [slow, panicked] = await Promise.all([
      runVm('--timeout', '1', '--', 'sleep', '300'),
      runVm('--', 'sh', '-c', 'echo c >/proc/sysrq-trigger'),
    ]);
    assert.equal(slow.code, 124);
    assert.match(slow.stderr, /did not end in 1 s/);
    assert.equal(panicked.code, 125);
    assert.match(panicked.stderr, /Kernel panic.*sysrq triggered crash/);
  });

  test('a power cut is 125; what was synced to a disk file is there in the next boot', async (t) => {
    const disk = join(freshFolder(t), 'disk');
    const write =
      'mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt && echo kept >/mnt/file && sync && echo b >/proc/sysrq-trigger';
    const cut = await runVm('--disk-file', `${disk}:64M`, '--', 'sh', '-c', write);
    assert.equal(cut.code, 125);
    assert.match(cut.stderr, /without a status/);
    const next = await runVm('--disk-file', disk, '--', 'sh', '-c', 'mount /dev/vda /mnt && cat /mnt/file');
    assert.deepEqual([next.code, next.stdout], [0, 'kept\n'], next.stderr);
  });

  test('the host stays as it is, but for what is shared', async (t) => {
    const shared = freshFolder(t);
    const script =
      'echo changed >package.json && rm -r core && echo result >/mnt/share/result && cat package.json';
    const { code, stdout } = await runVm('--out', shared, '--', 'sh', '-c', script);
    assert.deepEqual([code, stdout], [0, 'changed\n']);
    assert.match(readFileSync(join(checkout, 'package.json'), 'utf8'), /"name"/);
    assert.ok(readdirSync(join(checkout, 'core')).length > 0);
    assert.equal(readFileSync(join(shared, 'result'), 'utf8'), 'result\n');
  });

  test('killed with SIGKILL, it takes its guest along, and the next one clears up', async (t) => {
    const folder = freshFolder(t);
    const { pid, ended } = await startWaiting(folder);
    const [left] = runFolders(folder);
    assert.ok(left);
    const isFree = () => spawnSync('flock', ['-n', join(folder, left, 'lock'), 'true']).status === 0;
    assert.equal(isFree(), false, 'a live run holds its lock');
    process.kill(pid, 'SIGKILL');
    await eventually('qemu dies and lets the lock go', isFree);
    await ended;
    const next = await startVm(['--fetch'], { ...process.env, TMPDIR: folder }).ended;
    assert.equal(next.code, 0, next.stderr);
    assert.deepEqual(runFolders(folder), []);
  });

  test('when its qemu is killed it says so and leaves nothing; terminated, it ends its guest', async (t) => {
    const folder = freshFolder(t);
    const [one, two] = await Promise.all([startWaiting(folder), startWaiting(folder)]);
    process.kill(qemuBelow(one.pid), 'SIGKILL');
    const first = await one.ended;
    assert.equal(first.code, 125);
    assert.match(first.stderr, /without a status/);
    assert.equal(runFolders(folder).length, 1, 'the other guest still runs');
    process.kill(two.pid, 'SIGTERM');
    assert.equal((await two.ended).code, 143);
    assert.deepEqual(runFolders(folder), []);
  });
});

test('scripts/vm refuses what makes no sense, with status 2', async () => {
  const wrong = [
    [],
    ['--disk', 'much', '--', 'true'],
    ['--no-such-option'],
    ['--share', '/tmp', '--', 'true'],
    ['--disk-file', '/no/such/file', '--', 'true'],
    ['--read-only', '--', 'true'],
    ['--shell'],
  ];
  for (const args of wrong) assert.equal((await runVm(...args)).code, 2, args.join(' '));
});
