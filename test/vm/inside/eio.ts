import assert from 'node:assert/strict';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeDisk, tool } from './low-device.ts';
import {
  type Activated,
  assertAgreed,
  assertFound,
  type Failed,
  layerOf,
  type Mended,
  openPoolHost,
  type PoolHost,
  told,
} from './pool-host.ts';

/**
 * A disk that fails with EIO under the pool's data, its metadata, or the state directory: device-mapper's
 * error target takes its place for a while. Each command says one thing, nothing stays half-done, and when
 * the disk is back the work goes on.
 */

/** One error with a code that is not `unclassified`, and something to do about it. */
function assertClear(answer: Awaited<ReturnType<PoolHost['flyd']>>): void {
  assert.equal(answer.code, 1, told(answer));
  const { error } = answer.document as Failed;
  assert.notEqual(error.code, 'unclassified', told(answer));
  assert.ok(error.hint !== null && error.hint !== '', told(answer));
}

/**
 * Brings ext4 to know that its device fails: a failed write of data is told to the writer alone. What it does not
 * find in memory, a failed commit of its journal, and the first change after that: one of them is counted.
 */
async function bringToKnow(folder: string): Promise<void> {
  const { dev } = statSync(folder);
  const device = basename(readlinkSync(`/sys/dev/block/${dev >> 8}:${dev & 0xff}`));
  const counted = (): number => Number(readFileSync(`/sys/fs/ext4/${device}/errors_count`, 'utf8'));
  for (let tries = 0; counted() === 0; tries++) {
    assert.ok(tries < 300, `ext4 on ${device} has met no error`);
    ignoring(() => mkdirSync(join(folder, `never-${tries}`)));
    ignoring(() => syncFolder(folder));
    await sleep(100);
  }
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function ignoring(act: () => void): void {
  try {
    act();
  } catch {
    // it may fail, or not yet
  }
}

process.env.FLYD_RETRY = 'attempts=2,pauseMs=20,pauseMsMax=20';

test('a disk under the pool fails and comes back', async (t) => {
  const host = await openPoolHost(t);
  const noise = Array.from({ length: 4 }, (_, n) => [`f${n}`, `${n}`.repeat(2_000_000)] as const);
  await host.put('larger', [layerOf('0.tar.gz', Object.fromEntries(noise))]);
  const pulled = await host.pull('small', '--no-activate');
  assert.equal(pulled.code, 0, told(pulled));
  const kept = await host.get<Activated>(0, 'activate', 'small', '--name', 'kept');
  const inKept = (name: string): string => join(kept.output.rootfs, name);
  writeFileSync(inKept('before'), 'before', { flush: true });

  await t.test('its data', async () => {
    host.data.fail();
    const refused = await host.pull('larger', '--no-activate');
    assertClear(refused);
    assert.throws(() => writeFileSync(inKept('lost'), 'x', { flush: true }));
    await bringToKnow(kept.output.rootfs);
    host.data.mend();
    await assertFound(host, 'activation', /has met errors/);
    await host.get<Mended>(0, 'doctor', '--fix');
    await goOn();
    assert.equal((await host.pull('larger', '--no-activate')).code, 0);
    await host.get(0, 'gc');
    await assertAgreed(host);
  });

  await t.test('its metadata', async () => {
    host.meta.fail();
    assertClear(await host.flyd('activate', 'small'));
    assert.notEqual(host.status().mode, 'rw');
    await assertFound(host, 'pool', /read-only|failed|could not be read/);
    host.meta.mend();
    const mended = await host.get<Mended>(0, 'doctor', '--fix');
    assert.match(mended.done.join('; '), /writable again/);
    await goOn();
    await host.get(0, 'gc');
    await assertAgreed(host);
  });

  async function goOn(): Promise<void> {
    assert.equal(host.status().mode, 'rw');
    assert.equal(readFileSync(inKept('before'), 'utf8'), 'before');
    writeFileSync(inKept('after'), 'after', { flush: true });
    await host.get(0, 'activate', 'small', '--name', 'passing');
    await host.get(0, 'deactivate', 'passing');
  }
});

test('the disk of the state directory fails and comes back', async (t) => {
  const { disk, point, mount } = makeDisk(t, 'low-state', 128);
  const host = await openPoolHost(t, { stateDir: join(point, 'state') });
  assert.equal((await host.pull('small', '--no-activate')).code, 0);
  await host.get(0, 'activate', 'small', '--name', 'kept');

  disk.fail();
  assertClear(await host.flyd('activate', 'small', '--name', 'vain'));
  assertClear(await host.pull('small', '--no-activate'));
  disk.mend();
  tool('umount', point);
  tool('sh', '-c', `e2fsck -f -p ${disk.path} || [ $? -lt 4 ]`);
  mount();
  await host.get(0, 'resume');
  await host.get(0, 'gc');
  await assertAgreed(host);
  await host.get(0, 'activate', 'small', '--name', 'again');
});
