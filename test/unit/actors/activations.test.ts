import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { activationChoose } from '#actors/activation-choose';
import { activationMount } from '#actors/activation-mount';
import { activationRecord } from '#actors/activation-record';
import { activationRemove } from '#actors/activation-remove';
import { activationSnapshot } from '#actors/activation-snapshot';
import { activationUnmount } from '#actors/activation-unmount';
import { imageCheck } from '#actors/image-check';
import type { ActivationOptions } from '#core/image';
import { options as plain } from '../../support/image-store.ts';
import {
  activate,
  makeImage,
  openTestParts,
  run,
  stopsWhenAborted,
  type TestParts,
  twice,
} from '../../support/parts.ts';

let parts: TestParts;
let image = '';
beforeEach(async () => {
  parts = await openTestParts();
  const layer = parts.serve('go', '00.tar.gz', [{ name: 'hello', data: 'from the image' }]);
  image = (await makeImage(parts, [layer])).id;
});
afterEach(() => parts.close());

const wanted = (options: Partial<ActivationOptions> = {}) => ({ image, options: { ...plain, ...options } });
const choose = (options: Partial<ActivationOptions> = {}, effectId = 'run-1/choose/1') =>
  twice(activationChoose(parts), wanted(options), { effectId });
const world = () => parts.drivers('copy').inventory();

describe('activation.choose', () => {
  it('commits one activation for each effect', async () => {
    const { id } = await choose({ name: 'web' });
    const [row, ...others] = parts.activations.list();
    assert.deepEqual(others, []);
    assert.deepEqual([row?.id, row?.state, row?.mountPoint], [id, 'creating', `${parts.mountRoot}/${id}`]);
    assert.deepEqual(await world(), { volumes: [parts.volumes.list()[0]?.id], activations: [] });
  });

  const refusals: [string, Partial<ActivationOptions>, string][] = [
    ['a device of a driver that has none', { attach: 'device' }, 'driver_unsupported'],
    ['a size of a driver that cannot grow', { sizeBytes: 1024 ** 3 }, 'driver_unsupported'],
    ['a name that could be a path', { name: '../web' }, 'usage'],
    ['an owner that chown(2) takes for none', { owner: { uid: 0xffff_ffff, gid: 0 } }, 'usage'],
  ];
  for (const [what, options, code] of refusals)
    it(`refuses ${what}`, async () => {
      await assert.rejects(run(activationChoose(parts), wanted(options)), { code, kind: 'unrecoverable' });
      assert.deepEqual(parts.activations.list(), []);
    });

  it('refuses to shrink', async () => {
    const base = { ...parts.volumes.list()[0], sizeBytes: 2048 };
    const drivers = () => ({
      can: { attachDevice: true, grow: true },
      ready: async () => {},
      chooseDevice: async () => 3,
    });
    const volumes = { ...parts.volumes, find: () => base as never };
    const deps = { ...parts, drivers, volumes };
    await assert.rejects(run(activationChoose(deps), wanted({ sizeBytes: 2047 })), {
      code: 'driver_unsupported',
    });
    const { id } = await run(activationChoose(deps), wanted({ sizeBytes: 2048 }));
    assert.equal(parts.activations.find(id)?.device, 3);
    await assert.rejects(run(activationChoose(deps), wanted(), { effectId: 'another' }), {
      code: 'driver_failed',
      kind: 'recoverable',
    });
  });

  it('refuses a name that is taken, and an image that is not there', async () => {
    await choose({ name: 'web' });
    await assert.rejects(run(activationChoose(parts), wanted({ name: 'web' }), { effectId: 'b' }), {
      code: 'name_taken',
    });
    await assert.rejects(
      run(activationChoose(parts), { ...wanted(), image: 'img-none' }, { effectId: 'c' }),
      {
        code: 'image_not_found',
      },
    );
  });

  it('stops when told to', () => stopsWhenAborted(activationChoose(parts), wanted()));
});

describe('an activation', () => {
  it('is made, mounted, recorded, and taken down', async () => {
    const { id } = await choose();
    await twice(activationSnapshot(parts), { id });
    const result = await twice(activationMount(parts), { id });
    await twice(activationRecord(parts), result);
    assert.ok(result.rootfs !== null);
    assert.equal(readFileSync(join(result.rootfs, 'hello'), 'utf8'), 'from the image');
    assert.equal(parts.activations.find(id)?.state, 'active');
    await twice(activationUnmount(parts), { id, force: false });
    assert.equal(existsSync(parts.mountRoot) && existsSync(join(parts.mountRoot, id)), false);
    assert.equal(parts.activations.find(id)?.state, 'active', 'what was written to it is still there');
    await twice(activationRemove(parts), { id, force: false });
    assert.equal(parts.activations.find(id), null);
    assert.deepEqual((await world()).activations, []);
  });

  it('keeps what was written to it when it is mounted again', async () => {
    const { id, rootfs } = await activate(parts, image);
    assert.ok(rootfs !== null);
    writeFileSync(join(rootfs, 'note'), 'mine');
    await run(activationSnapshot(parts), { id });
    await run(activationMount(parts), { id });
    assert.equal(readFileSync(join(rootfs, 'note'), 'utf8'), 'mine');
    const other = await activate(parts, image);
    assert.ok(other.rootfs !== null);
    assert.equal(existsSync(join(other.rootfs, 'note')), false);
  });

  it('is removed from wherever its making was given up', async () => {
    const chosen = await choose({}, 'a');
    await twice(activationRemove(parts), { id: chosen.id, force: true });
    const snapshotted = await choose({}, 'b');
    await run(activationSnapshot(parts), snapshotted);
    await twice(activationRemove(parts), { id: snapshotted.id, force: true });
    const mounted = await choose({}, 'c');
    await run(activationSnapshot(parts), mounted);
    await run(activationMount(parts), mounted);
    await twice(activationRemove(parts), { id: mounted.id, force: true });
    assert.deepEqual(parts.activations.list(), []);
    assert.deepEqual((await world()).activations, []);
  });

  it('is removed when an earlier call was killed between world and database', async () => {
    const { id } = await activate(parts, image);
    const row = parts.activations.find(id);
    assert.ok(row !== null);
    parts.activations.removing(id, 0);
    await parts.drivers('copy').discard(parts.activations.tree(row));
    await twice(activationRemove(parts), { id, force: false });
    assert.equal(parts.activations.find(id), null);
  });

  it('is not made any further once it is taken down', async () => {
    const { id } = await activate(parts, image);
    const result = { id, path: null, rootfs: null, device: null, driver: 'copy' as const };
    parts.activations.removing(id, 0);
    for (const effect of [run(activationSnapshot(parts), { id }), run(activationMount(parts), { id })])
      await assert.rejects(effect, { code: 'activation_not_found', kind: 'unrecoverable' });
    await assert.rejects(run(activationRecord(parts), result), { code: 'activation_not_found' });
  });

  it('is left alone by those who are told to stop', async () => {
    const { id } = await choose();
    await stopsWhenAborted(activationSnapshot(parts), { id });
    await stopsWhenAborted(activationMount(parts), { id });
    await stopsWhenAborted(activationUnmount(parts), { id, force: false });
    await stopsWhenAborted(activationRemove(parts), { id, force: false });
    assert.equal(parts.activations.find(id)?.state, 'creating');
    assert.deepEqual((await world()).activations, []);
  });
});

describe('an activation that a process holds', () => {
  let holder: ChildProcess;
  let id = '';
  beforeEach(async () => {
    const result = await activate(parts, image);
    id = result.id;
    holder = spawn('sleep', ['600'], { cwd: result.rootfs ?? '', stdio: 'pipe' });
    await once(holder, 'spawn');
  });
  afterEach(async () => {
    if (holder.exitCode !== null || holder.signalCode !== null) return;
    holder.kill('SIGKILL');
    await once(holder, 'exit');
  });

  it('is not taken down, and neither is its image, whatever the force', async () => {
    const busy = { code: 'activation_busy', message: new RegExp(`\\b${holder.pid} \\(sleep`) };
    await assert.rejects(run(imageCheck(parts), { image, force: true }), busy);
    await assert.rejects(run(activationUnmount(parts), { id, force: false }), busy);
    await assert.rejects(run(activationRemove(parts), { id, force: true }), busy);
    assert.equal(parts.activations.find(id)?.state, 'active');
    assert.equal(existsSync(join(parts.activations.find(id)?.rootfs ?? '', 'hello')), true);
  });

  it('can go when the process has ended', async () => {
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    assert.deepEqual(await run(imageCheck(parts), { image, force: true }), { live: [id] });
    await run(activationRemove(parts), { id, force: false });
    assert.equal(parts.activations.find(id), null);
  });
});
