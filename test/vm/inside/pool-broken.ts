import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import Database from 'better-sqlite3';
import { makeDisk, tool } from './low-device.ts';
import { damageSpaceMap, setNeedsCheck } from './needs-check.ts';
import {
  type Activated,
  assertAgreed,
  assertFailed,
  assertFound,
  type Mended,
  mapped,
  openPoolHost,
  type PoolHost,
  told,
} from './pool-host.ts';

/** What is in the activation that each of these days must leave alone. */
const note = (kept: Activated): string => readFileSync(join(kept.output.rootfs, 'note'), 'utf8');

function unmapPool(host: PoolHost, kept: Activated): void {
  tool('umount', kept.output.path);
  for (const name of mapped().sort().reverse()) tool('dmsetup', 'remove', '--retry', name);
  assert.ok(!mapped().includes(host.pool()));
}

/** A process that holds something until it is told to let go. */
async function hold(
  command: string,
  ...args: string[]
): Promise<{ child: ChildProcess; letGo(): Promise<void> }> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  await new Promise((started) => child.stdout?.once('data', started));
  const ended = new Promise((over) => child.once('exit', over));
  return {
    child,
    async letGo() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

const holding = 'cd "$1" && echo held && exec sleep 600';

test('a pool that the kernel or a person has broken', async (t: TestContext) => {
  // thin_repair writes past the page cache, which files in memory do not let it.
  const { point } = makeDisk(t, 'low-state', 128);
  const host = await openPoolHost(t, { stateDir: join(point, 'state') });
  const pulled = await host.pull('small', '--no-activate');
  assert.equal(pulled.code, 0, told(pulled));
  const kept = await host.get<Activated>(0, 'activate', 'small', '--name', 'kept');
  writeFileSync(join(kept.output.rootfs, 'note'), 'written before');
  tool('sync', '-f', kept.output.rootfs);
  const activates = async (): Promise<void> => {
    await host.get(0, 'activate', 'small', '--name', 'passing');
    await host.get(0, 'deactivate', 'passing');
  };

  await t.test('read-only: found; mended as soon as nobody is in an activation', async () => {
    const table = tool('dmsetup', 'table', host.pool()).trim();
    const readOnly = table.replace(
      /(\d+) (error_if_no_space.*)$/,
      (_, n, rest) => `${Number(n) + 1} ${rest} read_only`,
    );
    tool('dmsetup', 'suspend', host.pool());
    tool('dmsetup', 'load', host.pool(), '--table', readOnly);
    tool('dmsetup', 'resume', host.pool());
    assert.equal(host.status().mode, 'ro');
    await assertFound(host, 'pool', /is read-only$/);
    assertFailed(await host.flyd('activate', 'small'), 'pool_broken', /flyd doctor --fix/);
    const holder = await hold('sh', '-c', holding, 'sh', kept.output.rootfs);
    const refused = await host.get<Mended>(1, 'doctor', '--fix');
    assert.ok(
      refused.failed.some(({ error }) => error.code === 'activation_busy'),
      JSON.stringify(refused),
    );
    assert.equal(note(kept), 'written before', 'what is in use stays mounted');
    await holder.letGo();
    const mended = await host.get<Mended>(0, 'doctor', '--fix');
    assert.match(mended.done.join('; '), /writable again/);
    assert.deepEqual([host.status().mode, note(kept)], ['rw', 'written before']);
    await activates();
  });

  await t.test('needs_check: checked, and mapped anew', async () => {
    unmapPool(host, kept);
    setNeedsCheck(host.meta.path);
    await assertFound(host, 'pool', /needs a check/);
    assertFailed(await host.flyd('activate', 'small'), 'pool_broken', /flyd doctor --fix/);
    const mended = await host.get<Mended>(0, 'doctor', '--fix');
    assert.match(mended.done.join('; '), /writable again/);
    assert.deepEqual([host.status().mode, note(kept)], ['rw', 'written before']);
    await activates();
  });

  await t.test('damaged metadata: nothing is touched, and the commands of the hint repair it', async () => {
    unmapPool(host, kept);
    damageSpaceMap(host.meta.path);
    const refused = await host.get<Mended>(1, 'doctor', '--fix');
    const found = refused.failed.find(({ error }) => error.code === 'pool_broken');
    const commands = (found?.error.hint ?? '').split('; ').filter((each) => /^(dd|cp|thin_)/.test(each));
    assert.equal(commands.length, 5, JSON.stringify(refused));
    for (const command of commands) tool('sh', '-c', command);
    await host.get<Mended>(0, 'doctor', '--fix');
    assert.deepEqual([host.status().mode, note(kept)], ['rw', 'written before']);
    await activates();
    await assertAgreed(host);
  });

  await t.test(
    'a device in the pool that nobody knows: named, left alone, and its number passed over',
    async () => {
      tool('dmsetup', 'message', host.pool(), '0', 'create_thin 9000000');
      await assertFound(host, 'pool-devices', /9000000: .*nobody knows/);
      await host.flyd('doctor', '--fix');
      await activates();
      tool('dmsetup', 'message', host.pool(), '0', 'delete 9000000');
      await assertAgreed(host);
    },
  );

  await t.test(
    'the very device number that was chosen is taken meanwhile: one error, and the next try goes on',
    async () => {
      process.env.FLYD_FAULT = 'effect:activation.snapshot:before:throw';
      process.env.FLYD_RETRY = 'pauseMs=3000,pauseMsMax=3000';
      const trying = host.flyd('activate', 'small', '--name', 'unlucky');
      const device = await chosenDevice(host, 'unlucky');
      tool('dmsetup', 'message', host.pool(), '0', `create_thin ${device}`);
      assertFailed(await trying, 'driver_failed', /another number is chosen/);
      delete process.env.FLYD_FAULT;
      delete process.env.FLYD_RETRY;
      await host.get(0, 'activate', 'small', '--name', 'unlucky');
      await host.get(0, 'deactivate', 'unlucky');
      tool('dmsetup', 'message', host.pool(), '0', `delete ${device}`);
      await assertAgreed(host);
    },
  );

  await t.test(
    'held: a process in the mount, one in a mount namespace of its own, one with the device open',
    async () => {
      const { output } = await host.get<Activated>(0, 'activate', 'small', '--name', 'held');
      const holders: [string, string[]][] = [
        ['sh', ['-c', holding, 'sh', output.rootfs]],
        ['unshare', ['--mount', '--propagation', 'private', 'sh', '-c', holding, 'sh', output.rootfs]],
        ['sh', ['-c', 'exec <"$1" && echo held && exec sleep 600', 'sh', output.device]],
      ];
      for (const [command, args] of holders) {
        const holder = await hold(command, ...args);
        const refused = await host.flyd('deactivate', 'held');
        assertFailed(refused, 'activation_busy', /./);
        assert.match(told(refused), new RegExp(`\\b${holder.child.pid} \\(`), 'who holds it is named');
        await holder.letGo();
      }
      await host.get(0, 'deactivate', 'held');
      await assertAgreed(host);
    },
  );

  await t.test('a volume that the pool has lost: its image is dropped, and pulled again', async () => {
    const [row] = read<{ device: number }>(
      host,
      "SELECT device FROM volumes WHERE state = 'sealed' ORDER BY layers DESC",
    );
    tool('dmsetup', 'message', host.pool(), '0', `delete ${row?.device}`);
    await assertFound(host, 'pool-devices', /lost its device/);
    assertFailed(await host.flyd('activate', 'small'), 'volume_missing', /flyd doctor --fix/);
    const left = await host.get<Mended>(1, 'doctor', '--fix');
    assert.match(
      left.done.join('; '),
      new RegExp(`left ${kept.output.id}: it stands on a volume that is gone`),
    );
    assert.equal(note(kept), 'written before', 'a snapshot outlives its origin');
    await host.get(0, 'deactivate', 'kept');
    const mended = await host.get<Mended>(0, 'doctor', '--fix');
    assert.match(mended.done.join('; '), /dropped the image small/);
    assert.equal((await host.pull('small', '--no-activate')).code, 0);
    await activates();
    await host.get(0, 'gc');
    await assertAgreed(host);
  });
});

const read = <Row>(host: PoolHost, sql: string): Row[] => {
  const db = new Database(join(host.stateDir, 'flyd.db'), { readonly: true });
  try {
    return db.prepare(sql).all() as Row[];
  } finally {
    db.close();
  }
};

async function chosenDevice(host: PoolHost, name: string): Promise<number> {
  for (let tries = 0; tries < 6000; tries += 1) {
    const [row] = read<{ device: number }>(host, `SELECT device FROM activations WHERE name = '${name}'`);
    if (row !== undefined) return row.device;
    await new Promise((go) => setTimeout(go, 10));
  }
  throw new Error(`no device was chosen for ${name}`);
}
