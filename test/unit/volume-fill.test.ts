import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { activationHolders } from '#infra/activation-holders';
import { volumeFill } from '#infra/volume-fill';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flyd-fill-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the mark of a filling', () => {
  it('is read as it was written, and replaced whole', async () => {
    assert.equal(await volumeFill.read(folder), null);
    await volumeFill.write(folder, { volume: 'vol-1', report: null });
    assert.deepEqual(await volumeFill.read(folder), { volume: 'vol-1', report: null });
    await volumeFill.write(folder, { volume: 'vol-1', report: { entries: 3 } });
    assert.deepEqual(await volumeFill.read(folder), { volume: 'vol-1', report: { entries: 3 } });
    assert.equal(readdirSync(folder).length, 1, 'no temp file is left');
  });

  it('is told from a volume that is not there', async () => {
    const gone = join(folder, 'gone');
    assert.equal(await volumeFill.read(gone), null);
    await assert.rejects(volumeFill.write(gone, { volume: 'vol-1', report: null }), { code: 'system_call' });
    await assert.rejects(volumeFill.watch(gone), { code: 'system_call' });
  });

  it('is watched, synced, and not synced when it cannot be', async () => {
    const watched = await volumeFill.watch(folder);
    writeFileSync(join(folder, 'data'), 'x');
    await watched.sync();
    await watched.sync();
    await watched.close();
    await assert.rejects(watched.sync(), {
      code: 'system_call',
      facts: { errno: 'EBADF', syscall: 'syncfs' },
    });
  });
});

describe('holders of an activation that is not mounted', () => {
  it('are the processes in its folder', async () => {
    const rootfs = join(folder, 'rootfs');
    mkdirSync(rootfs);
    const place = { path: null, rootfs, device: null };
    assert.equal(await activationHolders(place), null);
    const holder = spawn('sleep', ['600'], { cwd: rootfs, stdio: 'pipe' });
    await once(holder, 'spawn');
    try {
      assert.match((await activationHolders(place)) ?? '', new RegExp(`^${holder.pid} \\(sleep`));
    } finally {
      holder.kill('SIGKILL');
      await once(holder, 'exit');
    }
    assert.equal(await activationHolders(place), null);
  });

  it('are none of a place that is nowhere', async () => {
    assert.equal(await activationHolders({ path: null, rootfs: null, device: null }), null);
    assert.equal(await activationHolders({ path: join(folder, 'a/b'), rootfs: null, device: null }), null);
    assert.equal(
      await activationHolders({ path: null, rootfs: null, device: join(folder, 'no-device') }),
      null,
    );
  });
});
