import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { mountsUnder, readMounts } from '#infra/mountinfo';
import type { OverlayMethod } from '#infra/volumes/overlay-mount';
import { newSubject } from './volumes/subject.ts';

const skip =
  process.getuid?.() !== 0
    ? 'mounting needs root'
    : /\terofs$/m.test(fs.readFileSync('/proc/filesystems', 'utf8'))
      ? false
      : 'this kernel has no EROFS: modprobe erofs';

const ways: readonly [string, readonly OverlayMethod[]][] = [
  ['over mounts that are attached nowhere, where the kernel can', ['fsconfig', 'relative']],
  ['over mounts at folders, by names alone', ['relative']],
];
for (const [way, overlayMethods] of ways)
  test(`an activation of EROFS images, ${way}`, { skip }, async (t) => {
    const { driver, stateDir, mountRoot, sealed, activation } = await newSubject(t, 'erofs', {
      overlayMethods,
    });
    const write = (name: string) => (open: { root: string }) =>
      fs.writeFileSync(join(open.root, 'rootfs', name), name);
    const below = await sealed(null, write('below'));
    const base = await sealed(below, write('above'));
    const active = await activation(base);
    await driver.snapshot(active);
    const { rootfs } = await driver.mount(active);
    assert.ok(rootfs !== null);
    assert.deepEqual(fs.readdirSync(rootfs).sort(), ['above', 'below']);
    assert.equal(fs.readFileSync(join(rootfs, 'below'), 'utf8'), 'below');
    fs.writeFileSync(join(rootfs, 'below'), 'written');
    // The overlay alone is left, and holds the images itself.
    assert.deepEqual(mountsUnder(await readMounts(), stateDir), []);
    assert.equal(mountsUnder(await readMounts(), mountRoot).length, 1);
    assert.ok(!fs.existsSync(join(stateDir, 'volumes/erofs', active.id, 'lower')));
    await driver.unmount(active);
    await driver.discard(active);
    assert.deepEqual(mountsUnder(await readMounts(), mountRoot), []);
  });
