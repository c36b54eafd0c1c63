import assert from 'node:assert/strict';
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { aborted, FlydError } from '#core/errors';
import { createExec, findCommand, stderrOf } from '#infra/exec';
import { flock } from '#infra/sys';

const exec = createExec();
const op = 'volume.create';

function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'flyd-exec-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

async function failure(work: Promise<unknown>): Promise<FlydError> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof FlydError, 'it failed with a FlydError');
  return error;
}

test('a command gets its arguments as they are, never through a shell', async () => {
  const odd = ['$HOME', '`id`', 'a b', '*', "'", '"', ';', ''];
  const { stdout } = await exec('printf', ['%s\\n', ...odd], { op });
  assert.deepEqual(stdout, odd.map((arg) => `${arg}\n`).join(''));
});

test('a command gets the C locale, a path and nothing else of the environment', async (t) => {
  process.env.FLYD_EXEC_SECRET = 'x';
  t.after(() => delete process.env.FLYD_EXEC_SECRET);
  const { stdout } = await exec('env', [], { op, env: { MORE: '1' } });
  const names = stdout
    .trim()
    .split('\n')
    .map((line) => line.split('=')[0]);
  assert.deepEqual(names.sort(), ['LC_ALL', 'MORE', 'PATH']);
  assert.match(stdout, /^LC_ALL=C$/m);
});

test('input arrives; without it there is an end at once', async () => {
  assert.equal((await exec('cat', [], { op, input: 'text' })).stdout, 'text');
  assert.equal((await exec('cat', [], { op })).stdout, '');
});

test('a failure keeps code, stderr, operation and subject', async () => {
  const error = await failure(exec('ls', ['/nowhere at all'], { op, subject: 'vol-1' }));
  assert.deepEqual(
    [error.code, error.kind, error.op, error.subject],
    ['command_failed', 'recoverable', op, 'vol-1'],
  );
  assert.equal(error.facts?.code, 2);
  assert.match(stderrOf(error), /No such file or directory/);
  assert.match(error.message, /No such file or directory/);
  assert.equal((await exec('false', [], { op, okCodes: [0, 1] })).code, 1);
});

test('a command that is not installed names its package', async () => {
  const error = await failure(createExec({ path: '/nowhere' })('no-such-command', [], { op }));
  assert.deepEqual([error.code, error.kind], ['command_missing', 'unrecoverable']);
  assert.equal(findCommand('sh/../sh'), null);
  assert.equal(findCommand('sh', ['/nowhere']), null);
});

test('a command comes from the given folders first, then from those of the system', async (t) => {
  const folder = scratch(t);
  const own = join(folder, 'uname');
  writeFileSync(own, '#!/bin/sh\necho own\n');
  chmodSync(own, 0o755);
  assert.equal((await createExec({ path: `${folder}:relative:` })('uname', [], { op })).stdout, 'own\n');
  assert.notEqual((await exec('uname', [], { op })).stdout, 'own\n');
});

test('a timeout and an abort end the command', async () => {
  const late = await failure(exec('sleep', ['60'], { op, timeoutMs: 100 }));
  assert.deepEqual([late.code, late.kind], ['command_timeout', 'recoverable']);
  const controller = new AbortController();
  const running = exec('sleep', ['60'], { op, signal: controller.signal });
  controller.abort(aborted('ownership_lost', 'gone'));
  assert.equal((await failure(running)).code, 'ownership_lost');
  const before = exec('sleep', ['60'], { op, signal: controller.signal });
  assert.equal((await failure(before)).code, 'ownership_lost');
});

test('a child that outlives us keeps the lock that it was given', async (t) => {
  const path = join(scratch(t), 'lock');
  writeFileSync(path, '');
  const ours = openSync(path, 'r+');
  assert.equal(flock(ours, 'exclusive', true), true);
  const controller = new AbortController();
  const sleeping = createExec({ lockFd: ours })('sleep', ['60'], { op, signal: controller.signal });
  closeSync(ours);
  const theirs = openSync(path, 'r+');
  t.after(() => closeSync(theirs));
  assert.equal(flock(theirs, 'exclusive', true), false, 'held by the child alone');
  controller.abort();
  await failure(sleeping);
  assert.equal(flock(theirs, 'exclusive', true), true, 'free when the child has ended');
});
