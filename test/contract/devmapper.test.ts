import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FlydError } from '#core/errors';
import { createExec } from '#infra/exec';
import { deviceText } from '#infra/holders';
import { dmStatus, mknodat, S_IFBLK } from '#infra/sys';
import { parsePoolStatus, parseTargetLine } from '#infra/volumes/dm-status';
import { createDrivers, type PoolOptions } from '#infra/volumes/index';
import { hasDeviceMapper, newId, newSubject, run, type Subject, testPool } from './volumes/subject.ts';

/**
 * What only a thin pool has: its devices, its identity, its ways to fail. Runs where the kernel has
 * device-mapper; elsewhere test/vm/volumes.test.ts runs it in a guest that has.
 */
const MiB = 1024 * 1024;
const cleanup = fileURLToPath(new URL('../../scripts/cleanup', import.meta.url));
const udev = ['--noudevsync', '--noudevrules'];

const check = (title: string, pool: PoolOptions, body: (s: Subject, t: TestContext) => Promise<void>) => {
  if (hasDeviceMapper) test(title, async (t) => body(await newSubject(t, 'devmapper', { pool }), t));
};
const hasCode =
  (...codes: string[]) =>
  (error: unknown) => {
    assert.ok(error instanceof FlydError, String(error));
    assert.ok(codes.includes(error.code), `${error.code}: ${error.message}`);
    return true;
  };
const recordOf = (s: Subject) => JSON.parse(readFileSync(join(s.stateDir, 'pool/pool.json'), 'utf8'));
const fill = (open: { root: string }, name: string, bytes: number) =>
  writeFileSync(join(open.root, 'rootfs', name), Buffer.alloc(bytes, 7));

/** Another state directory beside this one, with pool options of its own; nothing is made yet. */
async function neighbour(s: Subject, pool: PoolOptions) {
  const stateDir = join(s.stateDir, '..', `state-${newId('vol')}`);
  mkdirSync(stateDir);
  const drivers = await createDrivers({ stateDir, exec: createExec(), pool });
  return { stateDir, driver: drivers.byName.devmapper };
}

/** A block device over a new file beside the state directory. */
function scratchDevice(s: Subject, name: string, bytes: number): string {
  const file = join(s.stateDir, '..', name);
  writeFileSync(file, '');
  truncateSync(file, bytes);
  return run('losetup', '--find', '--show', file).trim();
}

function poolStatus(dmName: string) {
  const line = parseTargetLine(run('dmsetup', 'status', '--noflush', dmName));
  const status = parsePoolStatus(line?.args ?? []);
  assert.ok(status);
  return status;
}

check(
  "the seed's own numbers work, with a warning each",
  {
    dataBytes: 2048 * MiB,
    metaBytes: 1 * MiB,
    blockBytes: 1 * MiB,
    lowWaterBlocks: 32_768,
    volumeBytes: 256 * MiB,
  },
  async (s) => {
    const { warnings } = await s.driver.probe();
    assert.ok(
      warnings.some((w) => /1\.0 MiB is below the 2\.0 MiB/.test(w)),
      warnings.join('\n'),
    );
    assert.ok(warnings.some((w) => /32768 blocks is above the pool's 2048/.test(w)));
    const table = run('dmsetup', 'table', recordOf(s).dmName);
    assert.match(table, /^0 4194304 thin-pool \d+:\d+ \d+:\d+ 2048 32768 /);
    const base = await s.sealed(null, (open) => fill(open, 'a', 3 * MiB));
    const activation = await s.activation(base);
    await s.driver.snapshot(activation);
    assert.equal(statSync(join((await s.driver.mount(activation)).rootfs ?? '', 'a')).size, 3 * MiB);
  },
);

check('block devices are taken only when blank, and known again', testPool, async (s) => {
  const data = scratchDevice(s, 'disk-data', 512 * MiB);
  const meta = scratchDevice(s, 'disk-meta', 16 * MiB);
  run('mkfs.ext4', '-q', '-F', data);
  const dirty = await neighbour(s, { dataDevice: data, metaDevice: meta });
  await assert.rejects(dirty.driver.ready(), hasCode('pool_refused'));
  run('wipefs', '--all', '--quiet', data);

  const options = { dataDevice: data, metaDevice: meta, volumeBytes: 128 * MiB };
  const first = await neighbour(s, options);
  await first.driver.ready();
  const again = await createDrivers({ stateDir: first.stateDir, exec: createExec(), pool: options });
  await again.byName.devmapper.ready();
  const without = await createDrivers({ stateDir: first.stateDir, exec: createExec() });
  await without.byName.devmapper.ready();
  const other = await neighbour(s, options);
  await assert.rejects(other.driver.ready(), hasCode('pool_refused'), 'in use');
  const [space] = await first.driver.space();
  assert.deepEqual([space?.what, space?.total], ['pool data', 512 * MiB]);

  const { dmName } = JSON.parse(readFileSync(join(first.stateDir, 'pool/pool.json'), 'utf8'));
  run('dmsetup', 'remove', ...udev, dmName);
  await assert.rejects(other.driver.ready(), hasCode('pool_refused'), "another pool's superblock");
  await again.byName.devmapper.ready();
  run('dmsetup', 'remove', ...udev, dmName);
});

check("the kernel's own word on a pool is dmsetup's", testPool, async (s) => {
  const { dmName } = recordOf(s);
  const said = run('dmsetup', 'status', '--noflush', dmName).trim();
  assert.equal(dmStatus(dmName)?.trim(), said);
  assert.match(said, / thin-pool /);
  assert.throws(() => dmStatus('flyd-there-is-none'), /ENXIO/);
});

check('an adopted pool is shared: what others have in it stays', testPool, async (s) => {
  const data = scratchDevice(s, 'theirs-data', 512 * MiB);
  const meta = scratchDevice(s, 'theirs-meta', 16 * MiB);
  const sectors = (512 * MiB) / 512;
  run('dmsetup', 'create', 'theirs', ...udev, '--table', `0 ${sectors} thin-pool ${meta} ${data} 128 100`);
  run('dmsetup', 'message', 'theirs', '0', 'create_thin 1');
  const { driver } = await neighbour(s, { adopt: 'theirs', volumeBytes: 128 * MiB });
  await driver.ready();
  const device = await driver.chooseDevice(() => false);
  assert.ok(device !== null && device >= 0x800000 && device <= 0xffffff);
  const volume = { id: newId('vol'), parent: null, device, sizeBytes: driver.chooseSize(null) };
  await driver.create(volume);
  fill(await driver.open(volume), 'a', MiB);
  await driver.close(volume);
  assert.deepEqual((await driver.inventory()).volumes, [volume.id]);

  // A device that is not in the records is not ours, whatever its number.
  run('dmsetup', 'message', 'theirs', '0', `create_thin ${device === 0xffffff ? device - 1 : device + 1}`);
  const taken = { ...volume, id: newId('vol'), device: device === 0xffffff ? device - 1 : device + 1 };
  await assert.rejects(driver.create(taken), hasCode('driver_failed'));
  await driver.remove(taken);
  await driver.remove(volume);
  run('dmsetup', 'message', 'theirs', '0', 'reserve_metadata_snap');
  const ids = run('thin_ls', '--format', 'DEV', '--no-headers', '--metadata-snap', meta).trim().split(/\s+/);
  run('dmsetup', 'message', 'theirs', '0', 'release_metadata_snap');
  assert.deepEqual(ids.map(Number), [1, taken.device], 'only theirs are left');
  run('dmsetup', 'remove', ...udev, 'theirs');
  await assert.rejects(driver.space(), hasCode('pool_missing'));
});

check('cleanup takes its devices out of an adopted pool, and leaves the pool', testPool, async (s) => {
  const data = scratchDevice(s, 'theirs-data', 256 * MiB);
  const meta = scratchDevice(s, 'theirs-meta', 16 * MiB);
  const sectors = (256 * MiB) / 512;
  const table = `0 ${sectors} thin-pool ${meta} ${data} 128 100`;
  run('dmsetup', 'create', 'shared', ...udev, '--table', table);
  run('dmsetup', 'message', 'shared', '0', 'create_thin 1');
  const { driver, stateDir } = await neighbour(s, { adopt: 'shared', volumeBytes: 64 * MiB });
  const device = await driver.chooseDevice(() => false);
  await driver.create({ id: newId('vol'), parent: null, device, sizeBytes: 64 * MiB });
  run(cleanup, '--state-dir', stateDir, '--mount-root', s.mountRoot, '--yes');
  run('dmsetup', 'message', 'shared', '0', 'create_snap 2 1');
  assert.throws(() => run('dmsetup', 'message', 'shared', '0', `delete ${device}`), /No data available/);
  run('dmsetup', 'remove', ...udev, 'shared');
});

check("metadata that is not this pool's is neither used nor zeroed", testPool, async (s) => {
  const { dmName } = recordOf(s);
  const meta = join(s.stateDir, 'pool/meta');
  await s.reboot();
  const good = readFileSync(meta);
  const blank = Buffer.from(good);
  blank.fill(0, 0, 4096);
  writeFileSync(meta, blank);
  await assert.rejects(s.driver.ready(), hasCode('pool_broken'));
  assert.deepEqual(readFileSync(meta).subarray(0, 4096), Buffer.alloc(4096));
  const foreign = Buffer.from(good);
  foreign.writeBigUInt64LE(77n, 48);
  writeFileSync(meta, foreign);
  await assert.rejects(s.driver.ready(), hasCode('pool_refused'));
  const marked = Buffer.from(good);
  marked.writeUInt32LE(1, 4);
  writeFileSync(meta, marked);
  await assert.rejects(s.driver.ready(), hasCode('pool_broken'));
  writeFileSync(meta, good);
  await s.driver.ready();
  assert.equal(poolStatus(dmName).transactionId, recordOf(s).generation);
});

check('a pool that was half made is finished, from any point', testPool, async (s) => {
  const path = join(s.stateDir, 'pool/pool.json');
  const { dmName, ...record } = recordOf(s);
  const halfMade = () => writeFileSync(path, JSON.stringify({ ...record, dmName, state: 'creating' }));
  const assertWhole = async (when: string) => {
    await s.restart();
    await s.driver.ready();
    assert.equal(recordOf(s).state, 'ready', when);
    assert.equal(poolStatus(dmName).transactionId, record.generation, when);
  };
  halfMade();
  await assertWhole('all was made but the record');
  halfMade();
  await s.reboot();
  await assertWhole('nothing was mapped');
  await s.reboot();
  halfMade();
  rmSync(record.meta.path);
  truncateSync(record.data.path, 4096);
  await assertWhole('files were missing or short');
  await s.reboot();
  rmSync(path);
  await s.restart();
  await assert.rejects(s.driver.ready(), hasCode('pool_refused'), 'files without a record are not touched');
});

check('many at once make one pool', testPool, async (s) => {
  const other = await neighbour(s, testPool);
  const ready = Array.from({ length: 6 }, async () => {
    const drivers = await createDrivers({ stateDir: other.stateDir, exec: createExec(), pool: testPool });
    await drivers.byName.devmapper.ready();
  });
  await Promise.all(ready);
  const list = run('losetup', '--list', '--noheadings', '--raw', '-O', 'BACK-FILE');
  const files = list
    .split('\n')
    .filter((file) => file.startsWith(other.stateDir))
    .sort();
  assert.deepEqual(files, [join(other.stateDir, 'pool/data'), join(other.stateDir, 'pool/meta')]);
});

check(
  'half calls: a device in the pool but not mapped, mapped without a table, a stale node, a suspended one',
  testPool,
  async (s) => {
    const { name } = recordOf(s);
    const volume = await s.volume();
    await s.driver.create(volume);
    const dm = `flyd-${name}-${volume.id}`;
    run('dmsetup', 'remove', ...udev, dm);
    rmSync(`/dev/mapper/${dm}`, { force: true });
    mknodat(-100, `/dev/mapper/${dm}`, S_IFBLK | 0o600, 7, 250);
    run('dmsetup', 'create', dm, '--uuid', dm, '--notable', ...udev);
    const open = await s.driver.open(volume);
    const { rdev } = statSync(`/dev/mapper/${dm}`);
    assert.equal(deviceText(rdev), readFileSync(`/sys/block/${dmBlock(dm)}/dev`, 'utf8').trim());
    fill(open, 'a', MiB);
    run('dmsetup', 'suspend', '--nolockfs', ...udev, dm);
    await s.restart();
    await s.driver.ready();
    await s.driver.close(volume);

    // A record, and nothing in the pool.
    const activation = await s.activation(volume);
    await s.driver.snapshot(activation);
    run('dmsetup', 'message', `flyd-${name}`, '0', `delete ${activation.device}`);
    await s.driver.snapshot(activation);
    await s.driver.discard(activation);
    assert.deepEqual((await s.driver.inventory()).activations, []);
  },
);

check('an open volume cannot be snapshotted', testPool, async (s) => {
  const volume = await s.volume();
  await s.driver.create(volume);
  await s.driver.open(volume);
  await assert.rejects(s.driver.snapshot(await s.activation(volume)), hasCode('volume_busy'));
});

check('an attached device that a process has open is busy, by name', testPool, async (s) => {
  const base = await s.sealed(null, (open) => fill(open, 'a', 1));
  const activation = await s.activation(base, { attach: 'device' });
  await s.driver.snapshot(activation);
  const { device } = await s.driver.mount(activation);
  const fd = openSync(device ?? '', 'r');
  try {
    await assert.rejects(s.driver.unmount(activation), (error) => {
      assert.match(String(error), new RegExp(`\\b${process.pid} \\(.*, fd ${fd}\\)`));
      return hasCode('activation_busy')(error);
    });
  } finally {
    closeSync(fd);
  }
  await s.driver.unmount(activation);
});

check(
  'a full pool: the volume is refused, nothing hangs, and room made helps',
  { dataBytes: 64 * MiB, volumeBytes: 256 * MiB },
  async (s) => {
    const volume = await s.volume();
    await s.driver.create(volume);
    const open = await s.driver.open(volume);
    const fd = openSync(join(open.root, 'rootfs/big'), 'w');
    try {
      writeFileSync(fd, Buffer.alloc(100 * MiB, 1));
      run('sync', '-f', open.root);
    } catch {
      // the error may come now, or only when it is sealed
    } finally {
      closeSync(fd);
    }
    await assert.rejects(s.driver.close(volume), hasCode('no_space'));
    await assert.rejects(s.driver.create(await s.volume()), hasCode('no_space'));
    await s.driver.remove(volume);
    const small = await s.sealed(null, (next) => fill(next, 'a', MiB));
    await s.driver.snapshot(await s.activation(small));
  },
);

check('a read-only pool is broken, and says so', testPool, async (s) => {
  const { dmName } = recordOf(s);
  const table = run('dmsetup', 'table', dmName).trim();
  const [features] = /\d+ error_if_no_space.*$/.exec(table) ?? [''];
  const readOnly = table
    .replace(
      features,
      features.replace(/^\d+/, (n) => `${Number(n) + 1}`),
    )
    .concat(' read_only');
  run('dmsetup', 'suspend', ...udev, dmName);
  run('dmsetup', 'reload', dmName, '--table', readOnly);
  run('dmsetup', 'resume', ...udev, dmName);
  await assert.rejects(s.driver.ready(), hasCode('pool_broken'));
  const volume = { id: newId('vol'), parent: null, device: 0x800001, sizeBytes: 128 * MiB };
  await assert.rejects(s.driver.create(volume), hasCode('pool_broken'));
});

check('removal gives the blocks back to the disk under a loop file', testPool, async (s) => {
  const blocks = () => statSync(join(s.stateDir, 'pool/data')).blocks * 512;
  const before = blocks();
  const base = await s.sealed(null, (open) => fill(open, 'a', 64 * MiB));
  const used = blocks();
  assert.ok(used - before >= 64 * MiB, `${used - before} bytes`);
  await s.driver.remove(base);
  assert.ok(blocks() - before < 8 * MiB, `${blocks() - before} bytes are left`);
  assert.equal(poolStatus(recordOf(s).dmName).dataUsed, 0);
});

check(
  'xfs: made, cloned, mounted twice, grown',
  { dataBytes: 1024 * MiB, volumeBytes: 320 * MiB, fs: 'xfs' },
  async (s) => {
    const lower = await s.sealed(null, (open) => fill(open, 'a', MiB));
    const upper = await s.sealed(lower, (open) => fill(open, 'b', MiB));
    const [one, two] = [await s.activation(upper), await s.activation(upper, { sizeBytes: 640 * MiB })];
    for (const each of [one, two]) {
      await s.driver.snapshot(each);
      const { rootfs } = await s.driver.mount(each);
      for (const name of ['a', 'b']) assert.equal(statSync(join(rootfs ?? '', name)).size, MiB);
    }
    const size = (path: string) => Number(run('stat', '-f', '-c', '%b', path)) * 4096;
    assert.ok(size(two.mountPoint) > 1.5 * size(one.mountPoint));
  },
);

function dmBlock(name: string): string {
  return run('dmsetup', 'info', '-c', '--noheadings', '-o', 'blkdevname', name).trim();
}

if (!hasDeviceMapper)
  test('where the kernel has no device-mapper, it says so and leaves nothing behind', async (t) => {
    const root = mkdtempSync(join(tmpdir(), 'flyd-volumes-'));
    t.after(() => rmSync(root, { recursive: true, force: true }));
    const drivers = await createDrivers({ stateDir: root, exec: createExec(), pool: testPool });
    const { usable, reason, fix } = await drivers.byName.devmapper.probe();
    assert.equal(usable, false);
    assert.ok(reason !== '' && fix !== null);
    await assert.rejects(drivers.byName.devmapper.ready(), hasCode('driver_unavailable', 'permission'));
    const attached = execFileSync('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'], {
      encoding: 'utf8',
    });
    assert.equal(attached.includes(root), false, attached);
  });
