import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fillUp } from './fill-up.ts';
import { tool } from './low-device.ts';
import {
  type Activated,
  assertAgreed,
  assertFailed,
  assertFound,
  layerOf,
  type Mended,
  openPoolHost,
  told,
} from './pool-host.ts';

const MiB = 1024 * 1024;

/** Bytes of the device under the pool must come back but for what a file system needs for itself. */
const smallBytes = 12 * MiB;

test('a pool that is full: warned of before, found, left, emptied, made larger', async (t) => {
  const host = await openPoolHost(t, { dataMiB: 64, metaMiB: 2, flags: ['--volume-size', '256M'] });
  await host.put('big', [layerOf('0.tar.gz', { big: 'x'.repeat(100 * MiB) })]);
  const activate = (...more: string[]) => host.get<Activated>(0, 'activate', 'small', ...more);

  await t.test('a pull that fills it fails with one error, and takes back what it wrote', async () => {
    assertFailed(
      await host.pull('big', '--no-activate', '--limit', 'inflationRatioMax=9999'),
      'no_space',
      /flyd gc/,
    );
    assert.equal(host.status().mode, 'rw', 'what was unpacked is gone');
    await host.get(0, 'gc');
    await assertAgreed(host);
    assert.ok(host.data.allocated() < smallBytes, `${host.data.allocated()} bytes are still in use below`);
  });

  await t.test('before it is full, each command that takes room says so, once', async () => {
    const { lines, document, code } = await host.pull('small', '--name', 'first', '--warn-at', 'data=5');
    assert.equal(code, 0, lines.join('\n'));
    const { activation, nearlyFull } = document as {
      activation: { rootfs: string };
      nearlyFull: { what: string; percent: number; freeBytes: number; fix: string }[];
    };
    assert.equal(nearlyFull.length, 0, 'not yet');
    fillUp(activation.rootfs, 20);
    const answer = await host.flyd('activate', 'small', '--name', 'second', '--warn-at', 'data=25');
    const warned = answer.lines.filter((line) => line.startsWith('warning: pool data is '));
    assert.equal(warned.length, 1, told(answer));
    assert.match(warned[0] ?? '', /\d+ % full, [\d.]+ MiB free; .*flyd gc/);
    const [only] = (answer.document as { nearlyFull: typeof nearlyFull }).nearlyFull;
    assert.ok(only !== undefined && only.percent >= 25 && only.freeBytes > 0, told(answer));
    await assertFoundAt(25);
    await host.get(0, 'deactivate', 'first');
    await host.get(0, 'deactivate', 'second');

    async function assertFoundAt(percent: number): Promise<void> {
      const { checks } = await host.get<{ checks: { check: string; verdict: string }[] }>(
        0,
        'doctor',
        ...['--warn-at', `data=${percent}`],
      );
      assert.ok(checks.some(({ check, verdict }) => check === 'pool data' && verdict === 'warn'));
    }
  });

  await t.test('full: doctor says so, nothing begins, and what is removed makes room', async () => {
    const { output } = await activate('--name', 'filler');
    assert.match(fillUp(output.rootfs) ?? '', /^(EIO|ENOSPC)$/);
    assert.equal(host.status().mode, 'out_of_data_space');
    await assertFound(host, 'pool data', /is full/);
    assertFailed(await host.flyd('activate', 'small'), 'no_space', /flyd deactivate/);
    assertFailed(await host.pull('big'), 'no_space', /flyd gc/);
    const { failed, done } = await host.get<Mended>(1, 'doctor', '--fix');
    assert.deepEqual([failed.map(({ error }) => error.code), done], [['no_space'], []]);
    await assertAgreed(host);
    await host.get(0, 'deactivate', 'filler');
    assert.equal(host.status().mode, 'rw');
    assert.ok(host.data.allocated() < smallBytes, `${host.data.allocated()} bytes are still in use below`);
  });

  await t.test('full: a larger device ends it, and what was written before is whole', async () => {
    const { output } = await activate('--name', 'kept');
    writeFileSync(join(output.rootfs, 'before'), 'before', { flush: true });
    fillUp(output.rootfs);
    host.data.grow(160);
    const grown = await host.get<Mended>(0, 'doctor', '--fix');
    assert.match(grown.done.join('; '), /made the pool .* larger: 160 MiB of data/);
    assert.deepEqual([host.status().mode, host.status().dataTotal], ['rw', 160 * 16]);
    // What the file system could not write has aborted its journal: it was checked and mounted anew.
    assert.deepEqual(grown.restored?.restored, [output.id]);
    writeFileSync(join(output.rootfs, 'after'), 'after', { flush: true });
    assert.equal(readFileSync(join(output.rootfs, 'before'), 'utf8'), 'before');
    await host.get(0, 'deactivate', 'kept');
  });

  await t.test('metadata full: nothing is taken down in vain, and more of it ends it', async () => {
    const { output } = await activate('--name', 'stays');
    const messages = `n=1; while dmsetup message ${host.pool()} 0 "create_thin $n"; do n=$((n+1)); done 2>/dev/null`;
    tool('sh', '-c', messages);
    assert.equal(host.status().mode, 'ro');
    await assertFound(host, 'pool', /read-only: its metadata is full/);
    assertFailed(await host.flyd('activate', 'small'), 'no_space', /make .* larger, then flyd doctor --fix/);
    assertFailed(await host.flyd('deactivate', 'stays'), 'no_space', /larger/);
    const vain = await host.get<Mended>(1, 'doctor', '--fix');
    assert.deepEqual(vain.done, []);
    assert.ok(
      readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${output.path} `),
      'it is mounted still',
    );
    host.meta.grow(8);
    const grown = await host.get<Mended>(0, 'doctor', '--fix');
    assert.match(grown.done.join('; '), /8 MiB of metadata/);
    assert.equal(host.status().mode, 'rw');
    await host.get(0, 'resume');
    await host.get(0, 'gc');
    assert.equal((await host.flyd('activate', 'small')).code, 0);
    await assertAgreed(host);
  });
});
