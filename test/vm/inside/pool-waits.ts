import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { processState } from '../../crash/sandbox.ts';
import { fillUp } from './fill-up.ts';
import {
  type Activated,
  assertAgreed,
  assertFailed,
  assertFound,
  type Failed,
  layerOf,
  openPoolHost,
  told,
} from './pool-host.ts';

const MiB = 1024 * 1024;
const command = fileURLToPath(new URL('../../../bin/flyd.js', import.meta.url));

test('a pool whose writers wait when it is full, and for ever', async (t) => {
  const flags = ['--volume-size', '256M', '--timeout', 'poolMs=3000'];
  const host = await openPoolHost(t, { dataMiB: 64, adopt: 'theirs', flags });
  setPatience(0); // how long the rest takes must not matter
  t.after(() => setPatience(60));
  await host.put('big', [layerOf('0.tar.gz', { big: 'x'.repeat(100 * MiB) })]);

  await t.test(
    'a pull that fills it waits for so long, fails with one error, and makes room again',
    async () => {
      const pulled = await host.pull('big', '--no-activate', '--limit', 'inflationRatioMax=9999');
      assertFailed(pulled, 'no_space', /flyd gc/);
      assert.equal(host.status().mode, 'rw', 'what was unpacked is gone');
      await host.get(0, 'gc');
      await assertAgreed(host);
    },
  );

  await t.test('nothing but the writers waits, and room lets them go on as if nothing had been', async () => {
    const pulled = await host.pull('small', '--no-activate');
    assert.equal(pulled.code, 0, told(pulled));
    const writer = await host.get<Activated>(0, 'activate', 'small', '--name', 'writer');
    const other = await host.get<Activated>(0, 'activate', 'small', '--name', 'other');
    fillUp(other.output.rootfs, 20);
    const file = join(writer.output.rootfs, 'large');
    const child = spawn('dd', ['if=/dev/zero', `of=${file}`, 'bs=1M', 'count=48', 'conv=fsync'], {
      stdio: 'ignore',
    });
    const ended = new Promise((over) => child.once('exit', (code) => over(code)));
    await until('the pool is full', () => host.status().mode === 'out_of_data_space');
    await assertFound(host, 'pool data', /is full: what is written to volumes waits/);
    assertFailed(await host.flyd('activate', 'small'), 'no_space', /flyd deactivate/);
    assertFailed(await host.flyd('deactivate', 'writer'), 'activation_busy', /end/);
    assert.equal(child.exitCode, null, 'it waits');
    await host.get(0, 'deactivate', 'other');
    assert.equal(await ended, 0, 'not one write has failed');
    assert.equal(host.status().mode, 'rw');
    await host.get(0, 'deactivate', 'writer');
    await assertAgreed(host);
  });

  await t.test(
    'an activation that is mounted when the pool has become full fails with one error',
    async () => {
      const writer = await host.get<Activated>(0, 'activate', 'small', '--name', 'writer');
      const ballast = await host.get<Activated>(0, 'activate', 'small', '--name', 'ballast');
      fillUp(ballast.output.rootfs, 20);
      const late = spawn(process.execPath, [command, ...host.argsOf('activate', 'small'), '--json'], {
        stdio: ['ignore', 'pipe', 'ignore'],
        env: { ...process.env, FLYD_FAULT: 'effect:activation.mount:before:stop' },
      });
      t.after(() => void late.kill('SIGKILL'));
      const said = text(late.stdout);
      const lateEnded = new Promise((over) => late.once('exit', (code) => over(code)));
      await until('it is stopped', () => processState(late.pid ?? 0) === 'T');
      const file = join(writer.output.rootfs, 'large');
      const child = spawn('dd', ['if=/dev/zero', `of=${file}`, 'bs=1M', 'count=48', 'conv=fsync'], {
        stdio: 'ignore',
      });
      const written = new Promise((over) => child.once('exit', (code) => over(code)));
      await until('the pool is full', () => host.status().mode === 'out_of_data_space');
      late.kill('SIGCONT');
      assert.equal(await within(180_000, lateEnded), 1);
      const { error } = JSON.parse(await said) as Failed;
      assert.equal(error.code, 'no_space', JSON.stringify(error));
      assert.equal(child.exitCode, null, 'the other one waits');
      await host.get(0, 'deactivate', 'ballast');
      assert.equal(await written, 0, 'and not one write of its has failed');
      await host.get(0, 'deactivate', 'writer');
      await assertAgreed(host);
    },
  );

  await t.test('what is taken down while it waits does not wait', async () => {
    // Write back at once, not when it is half a minute old: Documentation/admin-guide/sysctl/vm.rst.
    writeFileSync('/proc/sys/vm/dirty_background_bytes', String(MiB));
    const { output } = await host.get<Activated>(0, 'activate', 'small', '--name', 'dirty');
    // Not synced, and let go: only the kernel's writeback is left to wait.
    const large = join(output.rootfs, 'large');
    const child = spawn('dd', ['if=/dev/zero', `of=${large}`, 'bs=1M', 'count=100'], { stdio: 'ignore' });
    await new Promise((over) => child.once('exit', over));
    await until('the pool is full', () => host.status().mode === 'out_of_data_space');
    await host.get(0, 'deactivate', 'dirty');
    assert.equal(host.status().mode, 'rw');
    await assertAgreed(host);
  });
});

/** What it gives, or `late` when it takes longer than so many milliseconds. */
const within = (ms: number, what: Promise<unknown>): Promise<unknown> =>
  Promise.race([what, new Promise((over) => setTimeout(() => over('late'), ms).unref())]);

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    if (holds()) return;
    await new Promise((go) => setTimeout(go, 100));
  }
  throw new Error(`never happened: ${what}`);
}

/** For how many seconds writers of a full pool wait (dm-thin.c); 0: for ever. */
const setPatience = (seconds: number): void =>
  writeFileSync('/sys/module/dm_thin_pool/parameters/no_space_timeout', String(seconds));
