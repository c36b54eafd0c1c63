import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { deviceText } from '#infra/holders';
import { isWithin, mountAt, mountsOfDevice, mountsUnder, parseMountinfo } from '#infra/mountinfo';
import { parseWipefs } from '#infra/volumes/blank';
import { parsePoolStatus, parseTargetLine, parseThinStatus } from '#infra/volumes/dm-status';
import { readDmDevices } from '#infra/volumes/dm-sysfs';
import { parseLoops } from '#infra/volumes/loop';
import { parseSuperblock } from '#infra/volumes/superblock';

/** What the kernel and the tools print, as text. */
const mountinfo = `22 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
30 22 0:25 / /mnt/with\\040space\\011tab\\012line\\134back rw,nosuid,nodev shared:12 master:3 propagate_from:2 - tmpfs none\\043x rw,size=4k
31 22 0:30 / /mnt/images/act-1 ro,nosuid - overlay flyd-act-1 rw,lowerdir=a:b,upperdir=c
32 31 0:31 / /mnt/images/act-1/rootfs/proc rw - proc proc rw
33 22 0:32 /sub /mnt/images/act-1 rw,nodev - ext4 /dev/mapper/x rw
garbage that no kernel prints
`;

test('mountinfo: escapes, tags and options', () => {
  const mounts = parseMountinfo(mountinfo);
  assert.equal(mounts.length, 5);
  assert.deepEqual(mounts[1], {
    id: 30,
    parent: 22,
    dev: '0:25',
    root: '/',
    mountPoint: '/mnt/with space\ttab\nline\\back',
    options: ['rw', 'nosuid', 'nodev'],
    shared: 12,
    master: 3,
    fstype: 'tmpfs',
    source: 'none#x',
    superOptions: ['rw', 'size=4k'],
  });
  assert.deepEqual([mounts[2]?.shared, mounts[2]?.master], [null, null]);
});

test('mountinfo: the topmost at a place, what is under it, what is of a device', () => {
  const mounts = parseMountinfo(mountinfo);
  assert.equal(mountAt(mounts, '/mnt/images/act-1')?.id, 33);
  assert.equal(mountAt(mounts, '/mnt/images/act'), null);
  assert.deepEqual(
    mountsUnder(mounts, '/mnt/images/act-1').map((m) => m.id),
    [31, 32, 33],
  );
  assert.deepEqual(
    mountsOfDevice(mounts, '0:30').map((m) => m.id),
    [31],
  );
  assert.equal(isWithin('/a/b', '/a'), true);
  assert.equal(isWithin('/ab', '/a'), false);
  assert.equal(isWithin('/a', '/'), true);
});

const words = (line: string) => parseTargetLine(line)?.args ?? [];

test('the status of a pool, in every form that kernels print', () => {
  const full = parsePoolStatus(
    words('0 4194304 thin-pool 7 19/4161 12/2048 - rw discard_passdown error_if_no_space - 1024 '),
  );
  assert.deepEqual(full, {
    mode: 'rw',
    transactionId: 7,
    metaUsed: 19,
    metaTotal: 4161,
    dataUsed: 12,
    dataTotal: 2048,
    heldRoot: null,
    needsCheck: false,
    errorIfFull: true,
    discards: 'passdown',
  });
  const broken = parsePoolStatus(
    words('0 8 thin-pool 7 19/4161 12/2048 33 ro no_discard_passdown queue_if_no_space needs_check'),
  );
  assert.deepEqual(
    [broken?.mode, broken?.heldRoot, broken?.needsCheck, broken?.errorIfFull, broken?.discards],
    ['ro', 33, true, false, 'pool'],
  );
  assert.equal(
    parsePoolStatus(words('0 8 thin-pool 1 1/2 3/3 - out_of_data_space ignore_discard -'))?.mode,
    'out_of_data_space',
  );
  assert.equal(parsePoolStatus(words('0 8 thin-pool Fail'))?.mode, 'fail');
  assert.equal(parsePoolStatus(words('0 8 thin-pool Error'))?.mode, 'error');
  for (const line of ['', '0 8 thin-pool', '0 8 thin-pool x 1/2 3/4 - rw', '0 8 thin-pool 1 1/2 3/4 -'])
    assert.equal(parsePoolStatus(words(line)), null, line);
});

test('the status of a thin device, and lines of tables', () => {
  assert.deepEqual(parseThinStatus(words('0 100 thin 24 99')), { state: 'ok', mappedSectors: 24 });
  assert.deepEqual(parseThinStatus(words('0 100 thin 0 -')), { state: 'ok', mappedSectors: 0 });
  assert.equal(parseThinStatus(words('0 100 thin Fail'))?.state, 'fail');
  assert.equal(parseThinStatus([]), null);
  assert.deepEqual(parseTargetLine('0 100 thin 253:0 5\n'), {
    start: 0,
    sectors: 100,
    target: 'thin',
    args: ['253:0', '5'],
  });
  assert.equal(parseTargetLine('No devices found'), null);
});

test('device-mapper devices in sysfs; one without a table is not live', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'flyd-sysfs-'));
  t.after(() => rmSync(root, { recursive: true }));
  const device = (name: string, files: Record<string, string>) => {
    mkdirSync(join(root, name, 'dm'), { recursive: true });
    for (const [file, text] of Object.entries(files)) writeFileSync(join(root, name, file), `${text}\n`);
  };
  const usual = {
    'dm/name': 'flyd-x',
    'dm/uuid': 'flyd-x',
    'dm/suspended': '0',
    dev: '253:0',
    size: '8',
    ro: '0',
  };
  device('dm-0', usual);
  device('dm-1', { ...usual, dev: '253:1', size: '0', 'dm/suspended': '1', ro: '1' });
  device('dm-2', { 'dm/name': 'going' });
  device('sda', usual);
  const found = (await readDmDevices(root)).sort((a, b) => a.dev.localeCompare(b.dev));
  const same = { name: 'flyd-x', uuid: 'flyd-x' };
  assert.deepEqual(found, [
    { ...same, dev: '253:0', live: true, suspended: false, readOnly: false },
    { ...same, dev: '253:1', live: false, suspended: true, readOnly: true },
  ]);
  assert.deepEqual(await readDmDevices(join(root, 'absent')), []);
});

test('losetup and wipefs, of several versions', () => {
  assert.deepEqual(parseLoops(''), []);
  const numbers = '{"loopdevices": [{"name":"/dev/loop0","back-ino":12,"back-maj:min":"254:1"}]}';
  const texts = '{"loopdevices": [{"name":"/dev/loop0","back-ino":"12","back-maj:min":" 254:1"}]}';
  for (const text of [numbers, texts])
    assert.deepEqual(parseLoops(text), [{ path: '/dev/loop0', ino: '12', dev: '254:1' }]);
  assert.deepEqual(parseWipefs(''), []);
  assert.deepEqual(parseWipefs('{"signatures": []}'), []);
  assert.deepEqual(parseWipefs('{"signatures": [{"device":"sda","type":"ext4"},{"type":"gpt"}]}'), [
    'ext4',
    'gpt',
  ]);
});

test('the superblock of a thin pool', () => {
  const block = Buffer.alloc(4096);
  assert.equal(parseSuperblock(block), null);
  block.writeBigUInt64LE(27022010n, 32);
  block.writeBigUInt64LE(86292204786818n, 48);
  block.writeUInt32LE(128, 336);
  assert.deepEqual(parseSuperblock(block), {
    transactionId: 86292204786818,
    blockBytes: 65536,
    needsCheck: false,
  });
  block.writeUInt32LE(1, 4);
  assert.equal(parseSuperblock(block)?.needsCheck, true);
  assert.equal(parseSuperblock(block.subarray(0, 100)), null);
});

test('device numbers as the kernel splits them', () => {
  assert.equal(deviceText(0x700), '7:0');
  assert.equal(deviceText((7 << 8) | (300 & 0xff) | ((300 & ~0xff) << 12)), '7:300');
});
