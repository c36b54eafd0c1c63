import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { FlydError } from '#core/errors';
import { createExec } from '#infra/exec';
import { describeHolders, holdersElsewhere, holdersOf } from '#infra/holders';
import { mountAt, readMounts } from '#infra/mountinfo';
import { bindMount, hasFlags, prepareMountPoint, removeMountPoint, unmountAt } from '#infra/mounts';
import { isPrivileged } from '#infra/volumes/privilege';
import { end } from './volumes/subject.ts';

/** Who holds a mount, told by the kernel's tables; and that unmounting refuses before it does harm. */
const skip = (await isPrivileged()) ? false : 'needs root (run the tests as root)';
const options = {
  exec: createExec(),
  op: 'activation.unmount',
  subject: 'activation x',
  busy: 'activation_busy',
} as const;

/** A tmpfs below a folder of its own; `shared` says whether mounts below the folder propagate. */
function mounted(t: TestContext, shared: boolean): string {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'flyd-mounts-')));
  execFileSync('mount', ['-t', 'tmpfs', 'outer', root]);
  execFileSync('mount', [shared ? '--make-shared' : '--make-private', root]);
  const point = join(root, 'point');
  mkdirSync(point);
  execFileSync('mount', ['-t', 'tmpfs', 'inner', point]);
  t.after(() => {
    execFileSync('umount', ['--recursive', '--lazy', root]);
    rmSync(root, { recursive: true });
  });
  return point;
}

async function entryAt(point: string) {
  const entry = mountAt(await readMounts(), point);
  assert.ok(entry);
  return entry;
}

/** A process in a mount namespace of its own, copied with this propagation; ready when this returns. */
async function inNamespace(
  t: TestContext,
  propagation: 'private' | 'slave',
  act = ':',
  point = '',
): Promise<number> {
  const script = `${act}; echo ready; exec sleep 600`;
  const args = ['--mount', '--propagation', propagation, 'sh', '-c', script, point];
  const child = spawn('unshare', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await new Promise((ready) => child.stdout.once('data', ready));
  assert.ok(child.pid);
  return child.pid;
}

const isBusy = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof FlydError);
  assert.equal(error.code, 'activation_busy');
  assert.match(error.message, pattern);
  return true;
};

test('unmount: an open file, a mount below; then nothing', { skip }, async (t) => {
  const point = mounted(t, false);
  writeFileSync(join(point, 'file'), 'x');
  const fd = openSync(join(point, 'file'), 'r');
  const busy = unmountAt(point, { ...options, busyMs: 0 });
  await assert.rejects(busy, isBusy(new RegExp(`\\b${process.pid} \\(.*, fd ${fd}\\)`)));
  closeSync(fd);
  mkdirSync(join(point, 'below'));
  execFileSync('mount', ['-t', 'tmpfs', 'below', join(point, 'below')]);
  await assert.rejects(unmountAt(point, { ...options, busyMs: 0 }), isBusy(/\/below, mount/));
  execFileSync('umount', [join(point, 'below')]);
  execFileSync('mount', ['-t', 'tmpfs', 'again', point]); // stacked: both go
  await unmountAt(point, options);
  assert.equal(mountAt(await readMounts(), point), null);
  await unmountAt(point, options);
});

test('a namespace with nothing but a copy of the mount does not keep it, and loses it', {
  skip,
}, async (t) => {
  const point = mounted(t, false);
  const pid = await inNamespace(t, 'private');
  const copied = () => readFileSync(`/proc/${pid}/mountinfo`, 'utf8').includes(` ${point} `);
  assert.ok(copied());
  await unmountAt(point, options);
  await removeMountPoint(point);
  assert.equal(existsSync(point), false);
  assert.equal(copied(), false, 'the kernel took it away there too');
});

test('unmount refuses while somebody uses the mount in another mount namespace', { skip }, async (t) => {
  const users: [string, RegExp][] = [
    ['cd "$0"', /\(sleep, cwd, in a mount namespace of its own\)/],
    ['exec 7<"$0/file"', /\(sleep, fd 7, in a mount namespace of its own\)/],
    ['mkdir "$0.else" && mount --bind "$0" "$0.else"', /\(sleep, mount namespace, at .*\.else\)/],
  ];
  for (const [act, who] of users) {
    const point = mounted(t, false);
    writeFileSync(join(point, 'file'), 'x');
    const pid = await inNamespace(t, 'private', act, point);
    await assert.rejects(unmountAt(point, options), isBusy(who));
    assert.notEqual(mountAt(await readMounts(), point), null, 'it is as it was');
    await end(pid);
    await unmountAt(point, options);
  }
});

test('a namespace that receives our unmounts does not count', { skip }, async (t) => {
  const point = mounted(t, true);
  const pid = await inNamespace(t, 'slave');
  const entry = await entryAt(point);
  assert.deepEqual(await holdersElsewhere(entry), []);
  await unmountAt(point, options);
  const seen = execFileSync('cat', [`/proc/${pid}/mountinfo`], { encoding: 'utf8' });
  assert.equal(seen.includes(`${point} `), false, 'the kernel took it away there too');
});

test('a process whose root or program is on the mount is named', { skip }, async (t) => {
  const point = mounted(t, false);
  execFileSync('cp', ['/bin/sleep', join(point, 'napper')]);
  const child = spawn(join(point, 'napper'), ['600'], { cwd: '/', stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await new Promise((ready) => child.once('spawn', ready));
  const holders = await holdersOf(await entryAt(point));
  assert.match(describeHolders(holders), new RegExp(`\\b${child.pid} \\(napper, exe\\)`));
});

test('a bound folder has its own flags, and mounts in it stay in it', { skip }, async (t) => {
  const outer = mounted(t, true);
  const source = join(outer, 'source');
  mkdirSync(join(source, 'sub'), { recursive: true });
  const point = await prepareMountPoint(join(outer, 'new/deep/point'));
  bindMount(source, point, { readOnly: true });
  assert.equal(hasFlags(await entryAt(point), { readOnly: true }), true);
  assert.equal(hasFlags(await entryAt(point), {}), false);
  execFileSync('mount', ['-t', 'tmpfs', 'inside', join(point, 'sub')]);
  assert.equal(mountAt(await readMounts(), join(source, 'sub')), null);
});
