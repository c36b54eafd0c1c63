import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { isErrno, lgetxattr, lsetxattr, mknodat, S_IFBLK, utimensat } from '#infra/sys';
import type { DriverName } from '#infra/volumes/driver';
import { activationCases } from './activation-cases.ts';
import { fillVolume } from './image.ts';
import { mountOptions, newSubject, type Subject, type SubjectOptions, whiteOut } from './subject.ts';
import { at, type Check, capability, filesLeft, layer, put, rootfsOf } from './tools.ts';

/** What every driver promises (infra/volumes/driver.ts), judged by the merged tree and by the kernel's tables. */
export function conformance(label: string, name: DriverName, options: SubjectOptions = {}): void {
  describe(label, () => {
    const check: Check = (title, body) =>
      test(title, async (t) => body(await newSubject(t, name, options), t));
    volumeCases(check);
    activationCases(check);
  });
}

/** What volumes promise: filled once, cloned, independent of each other. */
function volumeCases(check: Check): void {
  check('a volume becomes two activations that are written independently, and goes', async (s) => {
    const base = await s.sealed(null, (open) => {
      mkdirSync(at(open, 'etc'));
      put('etc/name')(open);
    });
    const [one, two] = [await s.activation(base), await s.activation(base)];
    for (const each of [one, two]) await s.driver.snapshot(each);
    const [first, second] = [await rootfsOf(s, one), await rootfsOf(s, two)];
    writeFileSync(join(first, 'etc/name'), 'first');
    writeFileSync(join(second, 'new'), 'second');
    assert.equal(readFileSync(join(second, 'etc/name'), 'utf8'), 'etc/name');
    assert.deepEqual(readdirSync(first), ['etc']);

    await s.driver.unmount(one);
    assert.equal(
      readFileSync(join(await rootfsOf(s, one), 'etc/name'), 'utf8'),
      'first',
      'it keeps what was written',
    );
    const third = await s.activation(base);
    await s.driver.snapshot(third);
    assert.equal(
      readFileSync(join(await rootfsOf(s, third), 'etc/name'), 'utf8'),
      'etc/name',
      'the base is untouched',
    );

    for (const each of [one, two, third]) {
      await s.driver.unmount(each);
      assert.equal(await mountOptions(each.mountPoint), null);
      assert.equal(existsSync(each.mountPoint), false, 'the mount point is gone');
      await s.driver.discard(each);
    }
    await s.driver.remove(base);
    assert.deepEqual(await s.driver.inventory(), { volumes: [], activations: [] });
    assert.deepEqual(filesLeft(s), []);
  });

  check('every method can be called twice', async (s) => {
    const { driver } = s;
    await driver.ready();
    const volume = await s.volume();
    await driver.create(volume);
    await driver.create(volume);
    const [open, again] = [await driver.open(volume), await driver.open(volume)];
    assert.deepEqual(again, open);
    fillVolume(open, put('a'));
    await driver.close(volume);
    await driver.close(volume);
    const activation = await s.activation(volume);
    await driver.snapshot(activation);
    await driver.snapshot(activation);
    const place = await driver.mount(activation);
    assert.deepEqual(await driver.mount(activation), place);
    writeFileSync(join(place.rootfs ?? '', 'b'), 'b');
    await driver.unmount(activation);
    await driver.unmount(activation);
    assert.deepEqual(readdirSync(await rootfsOf(s, activation)).sort(), ['a', 'b']);
    await driver.discard(activation); // also unmounts
    await driver.discard(activation);
    await driver.unmount(activation);
    await driver.remove(volume);
    await driver.remove(volume);
    assert.deepEqual(await driver.inventory(), { volumes: [], activations: [] });
  });

  check('create clears what an earlier attempt left, also an open one', async (s) => {
    const volume = await s.volume();
    await s.driver.create(volume);
    fillVolume(await s.driver.open(volume), put('half'));
    await s.restart();
    await s.driver.create(volume);
    const open = await s.driver.open(volume);
    if (open.form === 'image') assert.deepEqual(readdirSync(open.root), []);
    else {
      assert.deepEqual(readdirSync(join(open.root, 'rootfs')), []);
      assert.equal(lstatSync(join(open.root, 'rootfs')).mode & 0o7777, 0o755);
    }
    assert.equal(lstatSync(open.root).mode & 0o777, 0o700);
  });

  check(
    'a clone of its parent takes changes, deletions and new folders; the parent keeps its own',
    async (s) => {
      const lower = await s.sealed(null, (open) => {
        for (const folder of ['etc', 'etc/sub', 'gone']) mkdirSync(at(open, folder));
        for (const file of ['etc/keep', 'etc/change', 'etc/drop', 'etc/sub/x', 'gone/y']) put(file)(open);
      });
      const upper = await s.sealed(lower, (open) => {
        mkdirSync(at(open, 'etc'), { recursive: true });
        writeFileSync(at(open, 'etc/change'), 'changed');
        whiteOut(open, 'etc/drop');
        whiteOut(open, 'gone');
        writeFileSync(at(open, 'etc/new'), 'new');
      });
      const [above, below] = [await s.activation(upper), await s.activation(lower)];
      for (const each of [above, below]) await s.driver.snapshot(each);
      const merged = await rootfsOf(s, above);
      assert.deepEqual(readdirSync(merged), ['etc']);
      assert.deepEqual(readdirSync(join(merged, 'etc')).sort(), ['change', 'keep', 'new', 'sub']);
      assert.equal(readFileSync(join(merged, 'etc/change'), 'utf8'), 'changed');
      assert.equal(readFileSync(join(merged, 'etc/sub/x'), 'utf8'), 'etc/sub/x');
      const untouched = await rootfsOf(s, below);
      assert.deepEqual(readdirSync(join(untouched, 'etc')).sort(), ['change', 'drop', 'keep', 'sub']);
      assert.equal(readFileSync(join(untouched, 'etc/change'), 'utf8'), 'etc/change');
    },
  );

  check('an activation has all attributes of its base', async (s) => {
    let userXattrs = true;
    const base = await s.sealed(null, (open) => {
      put('file')(open);
      chmodSync(at(open, 'file'), 0o640);
      put('no-read')(open);
      chmodSync(at(open, 'no-read'), 0o111);
      linkSync(at(open, 'file'), at(open, 'linked'));
      symlinkSync('/nowhere', at(open, 'link'));
      mkdirSync(at(open, 'closed'));
      put('closed/inside')(open);
      userXattrs = takesUserXattrs(at(open, 'file'));
      if (userXattrs) lsetxattr(at(open, 'file'), 'user.note', Buffer.from([0, 1, 255]));
      if (s.privileged) {
        chownSync(at(open, 'file'), 1234, 4321);
        chmodSync(at(open, 'file'), 0o4750);
        lsetxattr(at(open, 'file'), 'security.capability', capability);
        mknodat(-100, at(open, 'disk'), S_IFBLK | 0o600, 7, 300);
      }
      utimensat(-100, at(open, 'link'), 5, 6, -7, 123456789, 0x100);
      utimensat(-100, at(open, 'file'), 5, 6, 1_000_000_000, 987654321);
      chmodSync(at(open, 'closed'), 0o500);
    });
    const activation = await s.activation(base);
    await s.driver.snapshot(activation);
    const tree = await rootfsOf(s, activation);
    const file = lstatSync(join(tree, 'file'), { bigint: true });
    assert.equal(file.mtimeNs, 1_000_000_000_987654321n);
    assert.equal(file.ino, lstatSync(join(tree, 'linked'), { bigint: true }).ino, 'hard links stay one file');
    assert.equal(lstatSync(join(tree, 'link'), { bigint: true }).mtimeNs, -7_000_000_000n + 123456789n);
    assert.equal(readlinkSync(join(tree, 'link')), '/nowhere');
    assert.equal(lstatSync(join(tree, 'no-read')).mode & 0o7777, 0o111);
    assert.equal(lstatSync(join(tree, 'closed')).mode & 0o7777, 0o500);
    if (userXattrs) assert.deepEqual(lgetxattr(join(tree, 'file'), 'user.note'), Buffer.from([0, 1, 255]));
    if (!s.privileged) return;
    assert.deepEqual([Number(file.uid), Number(file.gid), Number(file.mode) & 0o7777], [1234, 4321, 0o4750]);
    assert.deepEqual(lgetxattr(join(tree, 'file'), 'security.capability'), capability);
    const disk = lstatSync(join(tree, 'disk'));
    assert.ok(disk.isBlockDevice());
    assert.equal(disk.rdev, (7 << 8) | (300 & 0xff) | ((300 & ~0xff) << 12));
  });

  check('an image of 127 layers', async (s) => {
    const layers = 127;
    let top: Awaited<ReturnType<Subject['volume']>> | null = null;
    if (s.driver.granularity(layers) === 'layer') {
      for (let n = 0; n < layers; n += 1) top = await s.sealed(top, layer(n));
    } else {
      top = await s.sealed(null, (open) => {
        for (let n = 0; n < layers; n += 1) layer(n)(open);
      });
    }
    assert.ok(top);
    const activation = await s.activation(top);
    await s.driver.snapshot(activation);
    const tree = await rootfsOf(s, activation);
    assert.equal(readdirSync(tree).length, layers + 1);
    assert.equal(readFileSync(join(tree, 'last'), 'utf8'), '126');
    writeFileSync(join(tree, 'n0'), 'changed');
  });

  check('a few layers, each a volume where it keeps them apart', async (s) => {
    let layers = 1;
    while (layers < 5 && s.driver.granularity(layers + 1) === 'layer') layers += 1;
    let top = await s.sealed(null, layer(0));
    for (let n = 1; n < layers; n += 1) top = await s.sealed(top, layer(n));
    const activation = await s.activation(top);
    await s.driver.snapshot(activation);
    assert.equal(readdirSync(await rootfsOf(s, activation)).length, layers + 1);
  });
}

/** tmpfs takes them from Linux 6.6 on. */
function takesUserXattrs(path: string): boolean {
  try {
    lsetxattr(path, 'user.try', Buffer.from('x'));
    return true;
  } catch (error) {
    if (isErrno(error, 'EOPNOTSUPP')) return false;
    throw error;
  }
}
