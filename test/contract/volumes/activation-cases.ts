import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { end, holder, mountOptions } from './subject.ts';
import { type Check, filesLeft, hasCode, put, rootfsOf, statfsBytes } from './tools.ts';

/** What activations promise: who holds them, what they allow, what is left of them. */
export function activationCases(check: Check): void {
  check('unmount refuses while a process is inside, and names it', async (s, t) => {
    const base = await s.sealed(null, put('a'));
    const activation = await s.activation(base);
    await s.driver.snapshot(activation);
    const pid = await holder(t, await rootfsOf(s, activation));
    await assert.rejects(s.driver.unmount(activation), (error) => {
      assert.ok(hasCode('activation_busy')(error));
      assert.match(String(error), new RegExp(`\\b${pid} \\(sleep, cwd\\)`));
      return true;
    });
    await assert.rejects(s.driver.discard(activation), hasCode('activation_busy'));
    assert.equal(existsSync(join(await rootfsOf(s, activation), 'a')), true, 'it is as it was');
    await end(pid);
    await s.driver.unmount(activation);
    await s.driver.discard(activation);
  });

  check('what a mount allows is what was asked for', async (s, t) => {
    const base = await s.sealed(null, put('a'));
    const usual = await s.activation(base);
    const free = await s.activation(base, { suid: true, dev: true });
    const fixed = await s.activation(base, { readOnly: true });
    for (const each of [usual, free]) await s.driver.snapshot(each);
    if (!s.privileged) {
      const { path } = await s.driver.mount(usual);
      assert.equal(path, null, 'without root nothing is mounted');
      await assert.rejects(s.driver.snapshot(fixed), hasCode('driver_unsupported'));
      t.diagnostic('without root there are no mount flags to look at');
      return;
    }
    const flags = async (activation: typeof usual) => {
      await s.driver.mount(activation);
      const found = (await mountOptions(activation.mountPoint)) ?? [];
      return ['ro', 'nosuid', 'nodev'].filter((flag) => found.includes(flag));
    };
    await s.driver.snapshot(fixed);
    assert.deepEqual(await flags(usual), ['nosuid', 'nodev']);
    assert.deepEqual(await flags(free), []);
    assert.deepEqual(await flags(fixed), ['ro', 'nosuid', 'nodev']);
    const tree = await rootfsOf(s, fixed);
    assert.throws(() => writeFileSync(join(tree, 'b'), ''), /EROFS/);
    assert.equal(statSync(usual.mountPoint).mode & 0o777, 0o700, 'nobody else looks in');
  });

  check('another user reaches nothing, even where the folders above are open', async (s) => {
    if (!s.privileged) return; // it would take a second user
    const base = await s.sealed(null, put('a'));
    const activation = await s.activation(base);
    await s.driver.snapshot(activation);
    const tree = await rootfsOf(s, activation);
    for (const folder of [join(s.stateDir, '..'), s.stateDir, s.mountRoot]) chmodSync(folder, 0o755);
    const files = [join(tree, 'a')];
    for (const name of readdirSync(s.stateDir)) files.push(`${join(s.stateDir, name)}/.`);
    for (const file of files) {
      assert.ok(existsSync(file));
      const other = spawnSync('test', ['-e', file], { uid: 65534, gid: 65534 });
      assert.equal(other.status, 1, `${file} is in reach`);
    }
  });

  check('the owner of the tree is set, also of a read-only one', async (s) => {
    const base = await s.sealed(null, put('a'));
    for (const readOnly of [false, true]) {
      const activation = await s.activation(base, { owner: { uid: 1000, gid: 1001 }, readOnly });
      if (!s.privileged) {
        await assert.rejects(s.driver.snapshot(activation), hasCode('driver_unsupported'));
        continue;
      }
      await s.driver.snapshot(activation);
      const { uid, gid } = lstatSync(await rootfsOf(s, activation));
      assert.deepEqual({ uid, gid }, { uid: 1000, gid: 1001 });
      assert.equal(lstatSync(join(activation.mountPoint, 'rootfs/a')).uid, 0);
    }
  });

  check('a size and a device are granted, or refused by name', async (s) => {
    const base = await s.sealed(null, put('a'));
    const MiB = 1024 * 1024;
    const sized = await s.activation(base, { sizeBytes: 1024 * MiB });
    const device = await s.activation(base, { attach: 'device' });
    if (s.driver.can.grow) {
      await s.driver.snapshot(sized);
      const blocks = statfsBytes(await rootfsOf(s, sized));
      assert.ok(blocks > 900 * MiB, `${blocks} bytes`);
      const small = await s.activation(base, { sizeBytes: 4 * MiB });
      await assert.rejects(s.driver.snapshot(small), hasCode('driver_unsupported'));
    } else await assert.rejects(s.driver.snapshot(sized), hasCode('driver_unsupported'));
    if (s.driver.can.attachDevice) {
      await s.driver.snapshot(device);
      const place = await s.driver.mount(device);
      assert.deepEqual([place.path, place.rootfs], [null, null]);
      assert.ok(statSync(place.device ?? '').isBlockDevice());
      assert.equal(existsSync(device.mountPoint), false);
      await s.driver.unmount(device);
      assert.equal(existsSync(place.device ?? ''), false);
    } else await assert.rejects(s.driver.snapshot(device), hasCode('driver_unsupported'));
  });

  check('inventory knows what nobody else does, in every state', async (s) => {
    const [open, made] = [await s.volume(), await s.volume()];
    for (const each of [open, made]) await s.driver.create(each);
    await s.driver.open(open);
    const base = await s.sealed(null, put('a'));
    const [mounted, snapped] = [await s.activation(base), await s.activation(base)];
    for (const each of [mounted, snapped]) await s.driver.snapshot(each);
    await s.driver.mount(mounted);
    await s.restart();
    const found = await s.driver.inventory();
    assert.deepEqual(found.volumes.sort(), [open.id, made.id, base.id].sort());
    assert.deepEqual(found.activations.sort(), [mounted.id, snapped.id].sort());
    // With the database lost, an id is all there is.
    const lost = { device: null, sizeBytes: null };
    for (const each of [mounted, snapped]) await s.driver.discard({ ...each, ...lost });
    for (const each of [open, made, base]) await s.driver.remove({ ...each, ...lost });
    assert.deepEqual(await s.driver.inventory(), { volumes: [], activations: [] });
    assert.deepEqual(filesLeft(s), []);
  });

  check('after a reboot it goes on', async (s) => {
    const base = await s.sealed(null, put('a'));
    const activation = await s.activation(base);
    await s.driver.snapshot(activation);
    writeFileSync(join(await rootfsOf(s, activation), 'b'), 'kept');
    await s.reboot();
    await s.driver.ready();
    const tree = await rootfsOf(s, activation);
    assert.equal(readFileSync(join(tree, 'a'), 'utf8'), 'a');
    assert.equal(readFileSync(join(tree, 'b'), 'utf8'), 'kept');
    const next = await s.activation(base);
    await s.driver.snapshot(next);
    assert.deepEqual(readdirSync(await rootfsOf(s, next)), ['a']);
  });

  check('what is missing is named', async (s) => {
    const base = await s.sealed(null, put('a'));
    const activation = await s.activation(base);
    await assert.rejects(s.driver.mount(activation), hasCode('volume_missing'));
    await s.driver.remove(base);
    await assert.rejects(s.driver.snapshot(activation), hasCode('volume_missing'));
    await assert.rejects(s.driver.open(base), hasCode('volume_missing'));
    await s.driver.discard(activation);
    assert.deepEqual(await s.driver.inventory(), { volumes: [], activations: [] });
  });

  check('space and support are told', async (s) => {
    const support = await s.driver.probe();
    assert.equal(support.usable, true, support.reason);
    const space = await s.driver.space();
    assert.ok(space.length > 0);
    for (const { what, free, total } of space) assert.ok(free >= 0 && total >= free && total > 0, what);
  });
}
