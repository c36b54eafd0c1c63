import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { flock } from '#infra/sys';
import type { DriverName } from '#infra/volumes/driver';
import { isPrivileged } from '#infra/volumes/privilege';
import { whyNot } from '../support/needs.ts';
import {
  end,
  hasDeviceMapper,
  holder,
  loopsUnder,
  mountOptions,
  newSubject,
  type Subject,
} from './volumes/subject.ts';

/** scripts/cleanup takes off all that is flyd's and nothing else, also when the database is lost. */
const script = fileURLToPath(new URL('../../scripts/cleanup', import.meta.url));
const privileged = await isPrivileged();
const only = process.env.FLYD_TEST_DRIVER;
const needsRoot = privileged ? false : 'needs root (run the tests as root)';

function cleanup(subject: Subject, ...args: string[]) {
  const folders = ['--state-dir', subject.stateDir, '--mount-root', subject.mountRoot];
  // Standard input is empty: without --yes it gets no consent.
  const done = spawnSync(script, [...folders, ...args], { encoding: 'utf8', input: '' });
  return { status: done.status, text: done.stdout + done.stderr };
}

/** A state directory in use: a base, one activation mounted, one not, and a volume half filled. */
async function inUse(t: TestContext, name: DriverName) {
  const s = await newSubject(t, name);
  const base = await s.sealed(null, (open) => writeFileSync(join(open.root, 'rootfs/a'), 'a'));
  const [mounted, snapped] = [await s.activation(base), await s.activation(base)];
  for (const each of [mounted, snapped]) await s.driver.snapshot(each);
  await s.driver.mount(mounted);
  const open = await s.volume();
  await s.driver.create(open);
  await s.driver.open(open);
  return { s, mounted };
}

/** Things of others, as near to flyd's as can be; the function tells whether they are all there. */
function strangers(s: Subject) {
  const folder = join(s.stateDir, 'volumes/overlay/precious');
  const alike = join(s.mountRoot, 'act-0123456789abcdef'); // of another state directory
  const blob = join(s.stateDir, 'blobs/sha256/x');
  for (const path of [folder, alike, join(s.stateDir, 'blobs/sha256')]) mkdirSync(path, { recursive: true });
  for (const path of [join(folder, 'file'), blob]) writeFileSync(path, 'x');
  if (privileged) execFileSync('mount', ['-t', 'tmpfs', 'stranger', alike]);
  return async () => {
    assert.equal(existsSync(join(folder, 'file')), true);
    assert.equal(existsSync(blob), true);
    if (privileged) assert.notEqual(await mountOptions(alike), null);
  };
}

for (const name of ['btrfs', 'overlay', 'copy', 'devmapper'] as const) {
  // Where the kernel has no device-mapper, test/vm/volumes.test.ts runs this in a guest that has.
  if ((name === 'devmapper' && !hasDeviceMapper) || (only !== undefined && only !== name)) continue;
  const skip = needsRoot || (name === 'btrfs' ? (whyNot(['btrfs', 'mkfs.btrfs']) ?? false) : false);

  test(`cleanup of ${name}`, { skip }, async (t) => {
    const { s, mounted } = await inUse(t, name);
    const assertStrangers = strangers(s);
    const before = await s.driver.inventory();

    const dry = cleanup(s, '--dry-run');
    assert.equal(dry.status, 0, dry.text);
    for (const id of [...before.volumes, ...before.activations]) assert.match(dry.text, new RegExp(id));
    assert.equal(cleanup(s).status, 1, 'no consent, no removal');
    assert.deepEqual(await s.driver.inventory(), before);
    assert.notEqual(await mountOptions(mounted.mountPoint), null);

    const done = cleanup(s, '--yes');
    assert.equal(done.status, 0, done.text);
    assert.equal(await mountOptions(mounted.mountPoint), null);
    assert.equal(existsSync(mounted.mountPoint), false);
    assert.deepEqual(loopsUnder(s.stateDir), []);
    assert.equal(existsSync(join(s.stateDir, 'pool/data')), false);
    await s.restart();
    assert.deepEqual(await s.driver.inventory(), { volumes: [], activations: [] });
    await assertStrangers();
    assert.match(cleanup(s, '--yes').text, /Nothing to do/);
  });

  test(`cleanup of ${name} leaves what a process holds, and says who`, { skip }, async (t) => {
    const { s, mounted } = await inUse(t, name);
    const pid = await holder(t, join(mounted.mountPoint, 'rootfs'));
    const refused = cleanup(s, '--yes');
    assert.equal(refused.status, 1, refused.text);
    assert.match(refused.text, new RegExp(`\\b${pid} \\(sleep\\)`));
    assert.equal(existsSync(join(mounted.mountPoint, 'rootfs/a')), true);
    await end(pid);
    const done = cleanup(s, '--yes');
    assert.equal(done.status, 0, done.text);
  });
}

if (hasDeviceMapper)
  test('cleanup finds the devices of a pool whose records are lost', async (t) => {
    const { s } = await inUse(t, 'devmapper');
    const folder = join(s.stateDir, 'volumes/devmapper');
    const { dmName } = JSON.parse(readFileSync(join(s.stateDir, 'pool/pool.json'), 'utf8'));
    rmSync(join(s.stateDir, 'pool/pool.json'));
    for (const name of readdirSync(folder)) if (name.endsWith('.json')) rmSync(join(folder, name));
    const done = cleanup(s, '--yes');
    assert.equal(done.status, 0, done.text);
    assert.deepEqual(loopsUnder(s.stateDir), []);
    assert.equal(execFileSync('dmsetup', ['ls'], { encoding: 'utf8' }).includes(dmName), false);
  });

test('cleanup --purge leaves only what is not of flyd', async (t) => {
  const { s } = await inUse(t, 'copy');
  for (const name of ['format', 'flyd.db', 'flyd.db-wal', 'note of mine'])
    writeFileSync(join(s.stateDir, name), '');
  mkdirSync(join(s.stateDir, 'blobs/sha256'), { recursive: true });
  const done = cleanup(s, '--purge', '--yes');
  assert.equal(done.status, 0, done.text);
  assert.deepEqual(readdirSync(s.stateDir), ['note of mine']);
});

test("cleanup refuses folders that are not flyd's, and a flyd that runs", async (t) => {
  const s = await newSubject(t, 'copy');
  const elsewhere = spawnSync(script, ['--state-dir', join(s.stateDir, '..'), '--yes'], { encoding: 'utf8' });
  assert.equal(elsewhere.status, 2, elsewhere.stderr);
  assert.equal(spawnSync(script, ['--what']).status, 2);
  const base = await s.sealed(null, () => {});
  const fd = openSync(join(s.stateDir, 'lock'), 'a');
  assert.equal(flock(fd, 'shared', true), true);
  const refused = cleanup(s, '--yes');
  assert.match(refused.text, /flyd is running/);
  assert.deepEqual((await s.driver.inventory()).volumes, [base.id]);
  closeSync(fd);
  assert.equal(cleanup(s, '--yes').status, 0);
});
