import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The tests of the drivers in a guest: its kernel has device-mapper, and is that of Debian 12. */
const root = fileURLToPath(new URL('../..', import.meta.url));
const files = [
  'test/crash/volumes.test.ts',
  'test/contract/volumes.test.ts',
  'test/contract/devmapper.test.ts',
  'test/contract/cleanup.test.ts',
];
const timeoutSeconds = 840;

const check = spawnSync(join(root, 'scripts/vm'), ['--check'], { encoding: 'utf8' });
const skip = check.status === 0 ? false : `${check.stdout}${check.stderr}`.trim();

/** Runs test files in a guest; gives how many tests passed there. All must, and none may be skipped. */
function inGuest(driver: string, ...testFiles: string[]): number {
  const variables = [`FLYD_TEST_DRIVER=${driver}`, 'FLYD_TEST_STRIDE=7', ...smallCrowd];
  const environment = variables.flatMap((variable) => ['--env', variable]);
  const options = ['--cpus', '1', '--memory', '3G', '--timeout', String(timeoutSeconds), ...environment];
  // One after the other: what is mapped in the guest is judged as a whole.
  const command = [process.execPath, '--test', '--test-reporter=spec', '--test-concurrency=1', ...testFiles];
  const boot = () =>
    spawnSync(join(root, 'scripts/vm'), [...options, '--', ...command], {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    });
  let guest = boot();
  for (let tries = 1; tries < bootsMax && diedEmulated(guest); tries++) guest = boot();
  const said = guest.stdout + guest.stderr;
  assert.equal(guest.status, 0, said);
  assert.match(guest.stdout, /^ℹ skipped 0$/m, said);
  return Number(/^ℹ pass (\d+)$/m.exec(guest.stdout)?.[1] ?? 0);
}

/** A flyd command takes seconds in a guest. */
const smallCrowd = ['FLYD_TEST_CROWD=3', 'FLYD_TEST_CROWD_SECONDS=40'];

/** How often a guest is booted before its verdict counts, whatever it is. */
const bootsMax = 4;

/**
 * Under emulation Node itself dies now and then (SIGSEGV inside V8, never seen outside of it; one processor
 * makes it rare): the runner then knows only that a file failed. That says nothing about the driver.
 */
const diedEmulated = ({ status, stdout }: { status: number | null; stdout: string }): boolean =>
  status !== 0 && (/^\s*'test failed'$/m.test(stdout) || /SIGSEGV|Segmentation fault/.test(stdout));

test('the devmapper driver in a guest', { skip }, (t) => {
  const passed = inGuest('devmapper', ...files);
  assert.ok(passed >= 35, `${passed} tests`);
  t.diagnostic(`${passed} tests passed in the guest`);
});

test('the overlay driver on the kernel of Debian 12, which lacks lowerdir+', { skip }, () => {
  assert.ok(inGuest('overlay', 'test/contract/volumes.test.ts') >= 32);
});

test('three processes on one thin pool, some of their commands killed', { skip }, () => {
  assert.equal(inGuest('devmapper', 'test/crash/crowd.test.ts'), 1);
});
