import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Exec } from '../exec.ts';
import { describeHolders, holdersOfDevice } from '../holders.ts';
import { mountsOfDevice, readMounts } from '../mountinfo.ts';
import { removeMountPoint, unmountAt } from '../mounts.ts';
import { createDm } from './dmsetup.ts';
import { readPoolRecord } from './pool-record.ts';

/** A loop device over a file of a state directory's pool folder that serves no purpose. */
export interface StaleLoop {
  /** `/dev/loopN`. */
  path: string;
  file: string;
  why: 'its file is gone' | 'the file has another loop device';
}

/** Loops that are stale: nothing stands on them, and their file is gone or has a second one. Looks only. */
export async function staleLoops(stateDir: string): Promise<StaleLoop[]> {
  const found: { path: string; file: string; gone: boolean; used: boolean }[] = [];
  const mounts = await readMounts();
  for (const name of await readdir('/sys/block').catch(() => [])) {
    const text = await readFile(`/sys/block/${name}/loop/backing_file`, 'utf8').catch(() => '');
    const file = text.trim().replace(/ \(deleted\)$/, '');
    if (!file.startsWith(`${join(stateDir, 'pool')}/`)) continue;
    const holders = await readdir(`/sys/block/${name}/holders`).catch(() => []);
    const dev = (await readFile(`/sys/block/${name}/dev`, 'utf8').catch(() => '')).trim();
    const used = holders.length > 0 || mountsOfDevice(mounts, dev).length > 0;
    found.push({ path: `/dev/${name}`, file, gone: text.includes('(deleted)'), used });
  }
  return found.flatMap(({ path, file, gone, used }): StaleLoop[] => {
    if (used) return [];
    if (gone) return [{ path, file, why: 'its file is gone' }];
    const other = found.some((each) => each.path !== path && each.file === file && !each.gone && each.used);
    return other ? [{ path, file, why: 'the file has another loop device' }] : [];
  });
}

/** Detaches stale loops. Gives what was done, in words. */
export async function detachStaleLoops(stateDir: string, exec: Exec): Promise<string[]> {
  const done: string[] = [];
  for (const { path, file, why } of await staleLoops(stateDir)) {
    await exec('losetup', ['-d', path], { op: 'store.repair', subject: path });
    done.push(`detached ${path} from ${file}: ${why}`);
  }
  return done;
}

/**
 * Unmounts and unmaps devices of the pool whose id nobody knows; what is in them stays in the pool. Fails
 * with `activation_busy` or `volume_busy` when a process holds one.
 */
export async function unmapStrays(stateDir: string, ids: readonly string[], exec: Exec): Promise<string[]> {
  const op = 'store.repair';
  const record = await readPoolRecord(join(stateDir, 'pool'));
  if (record === null) return [];
  const dm = createDm({ exec });
  const done: string[] = [];
  for (const id of ids) {
    const device = await dm.find(`flyd-${record.name}-${id}`);
    if (device === null) continue;
    const busy = id.startsWith('act-') ? 'activation_busy' : 'volume_busy';
    for (const { mountPoint } of mountsOfDevice(await readMounts(), device.dev).reverse()) {
      await unmountAt(mountPoint, { exec, op, subject: id, busy });
      await removeMountPoint(mountPoint);
    }
    await dm.remove(device.uuid, op, busy);
    done.push(`unmapped ${device.name}; what is in it stays in the pool`);
  }
  return done;
}

/** Who holds a mapped volume or activation of the pool, in words; null when nobody does, or it is not mapped. */
export async function holdersOfMapped(stateDir: string, id: string, exec: Exec): Promise<string | null> {
  const record = await readPoolRecord(join(stateDir, 'pool'));
  const device = record === null ? null : await createDm({ exec }).find(`flyd-${record.name}-${id}`);
  const holders = device === null ? [] : await holdersOfDevice(device.dev);
  return holders.length === 0 ? null : describeHolders(holders);
}
