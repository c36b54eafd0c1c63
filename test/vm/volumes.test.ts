import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testInGuest, whyNoGuest } from './guest.ts';

/** The tests of the drivers in a guest: its kernel has device-mapper, and is that of Debian 12. */
const files = [
  'test/crash/volumes.test.ts',
  'test/contract/volumes.test.ts',
  'test/contract/devmapper.test.ts',
  'test/contract/cleanup.test.ts',
];
const timeoutSeconds = 840;
const skip = whyNoGuest() ?? false;

const inGuest = (driver: string, ...testFiles: string[]): number =>
  testInGuest({
    files: testFiles,
    variables: [`FLYD_TEST_DRIVER=${driver}`, 'FLYD_TEST_STRIDE=7'],
    timeoutSeconds,
  });

test('the devmapper driver in a guest', { skip }, (t) => {
  const passed = inGuest('devmapper', ...files);
  assert.ok(passed >= 35, `${passed} tests`);
  t.diagnostic(`${passed} tests passed in the guest`);
});

test('random stacks of layers on a thin pool', { skip }, () => {
  const passed = testInGuest({
    files: ['test/fuzz/differential-drivers.test.ts'],
    variables: ['FLYD_TEST_DRIVER=devmapper', 'FLYD_TEST_ROUNDS=3'],
    timeoutSeconds,
  });
  assert.equal(passed, 1);
});

test('the overlay driver on the kernel of Debian 12, which lacks lowerdir+', { skip }, () => {
  assert.ok(inGuest('overlay', 'test/contract/volumes.test.ts') >= 32);
});

test('a process that is stopped on a thin pool, and continued when another has its work', { skip }, () => {
  assert.equal(inGuest('devmapper', 'test/crash/stopped.test.ts'), 4);
});

/** For a long run by hand: FLYD_TEST_CROWD=16 FLYD_TEST_CROWD_SECONDS=600, which takes 20 minutes or more. */
const crowd = process.env.FLYD_TEST_CROWD ?? '4';
const crowdSeconds = Number(process.env.FLYD_TEST_CROWD_SECONDS ?? 20);

test('a crowd of processes on one thin pool, some of them killed', { skip }, (t) => {
  const passed = testInGuest({
    files: ['test/crash/crowd.test.ts'],
    variables: [
      'FLYD_TEST_DRIVER=devmapper',
      `FLYD_TEST_CROWD=${crowd}`,
      `FLYD_TEST_CROWD_SECONDS=${crowdSeconds}`,
    ],
    timeoutSeconds: 2 * timeoutSeconds + crowdSeconds,
    tell: (line) => t.diagnostic(line),
  });
  assert.equal(passed, 1);
});
