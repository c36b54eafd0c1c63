import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import type { DriverName } from '#infra/volumes/driver';
import { isPrivileged } from '#infra/volumes/privilege';
import { whyNot } from '../support/needs.ts';
import { hasDeviceMapper } from './volumes/subject.ts';
import { conformance } from './volumes/suite.ts';

/**
 * The one suite that all drivers pass. FLYD_TEST_DRIVER chooses one driver (in a guest of scripts/vm:
 * devmapper); FLYD_TEST_UID gives root up first.
 */
const only = process.env.FLYD_TEST_DRIVER as DriverName | undefined;
const uid = process.env.FLYD_TEST_UID;
const wanted = (name: DriverName): boolean => only === undefined || only === name;

if (uid !== undefined) {
  process.setgroups?.([]);
  process.setgid?.(Number(uid));
  process.setuid?.(Number(uid));
}
const privileged = await isPrivileged();
const unmountable = 'needs root (run the tests as root)';

if (wanted('copy')) conformance(privileged ? 'copy' : 'copy, without root', 'copy');

if (wanted('btrfs')) {
  const missing = whyNot(['root', 'btrfs', 'mkfs.btrfs']);
  if (privileged && missing === null) conformance('btrfs', 'btrfs');
  else test('btrfs', { skip: missing ?? unmountable }, () => {});
}

if (wanted('erofs')) {
  if (privileged) conformance('erofs', 'erofs');
  else test('erofs', { skip: unmountable }, () => {});
}

if (wanted('overlay')) {
  if (privileged) {
    conformance('overlay', 'overlay');
    conformance('overlay, by names of mount(2)', 'overlay', { overlayMethods: ['relative'] });
  } else test('overlay', { skip: unmountable }, () => {});
}

// Where the kernel has no device-mapper, test/vm/volumes.test.ts runs this in a guest that has.
if (wanted('devmapper') && privileged && hasDeviceMapper) conformance('devmapper', 'devmapper');

if (only === undefined && uid === undefined && privileged) {
  test('copy, without root', () => {
    const env: NodeJS.ProcessEnv = { ...process.env, FLYD_TEST_DRIVER: 'copy', FLYD_TEST_UID: '65534' };
    delete env.NODE_TEST_CONTEXT; // else the child reports to a parent that does not listen
    const [, file = ''] = process.argv;
    const child = spawnSync(process.execPath, [file], { env, encoding: 'utf8' });
    assert.equal(child.status, 0, child.stdout + child.stderr);
    assert.match(child.stdout, /^ℹ pass 1[0-9]$|^# pass 1[0-9]$/m);
  });
}
