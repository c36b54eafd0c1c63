import { join } from 'node:path';
import { unrecoverable } from '#core/errors';
import { type Exec, stderrOf } from '../exec.ts';
import { mountsOfDevice, readMounts } from '../mountinfo.ts';
import { unmountAt } from '../mounts.ts';
import { readStart } from './block-device.ts';
import { isMetadataFull, parsePoolStatus } from './dm-status.ts';
import { createDm, type Dm } from './dmsetup.ts';
import { createLoops } from './loop.ts';
import { createPool } from './pool.ts';
import { type PoolRecord, readPoolRecord } from './pool-record.ts';
import { parseSuperblock, superblockBytes } from './superblock.ts';

const checkTimeoutMs = 30 * 60_000;

/**
 * Brings back a pool that the kernel has made read-only: unmounts and unmaps everything on it, checks
 * its metadata, clears the flag if the check finds nothing, and maps it anew. Gives what was done, in
 * words; nothing when the pool needs no repair. Fails with `activation_busy` or `volume_busy` (a process
 * is on it), `pool_broken` (the check found damage: nothing is written then), `no_space` (its data is full).
 */
export async function repairPool(stateDir: string, exec: Exec): Promise<string[]> {
  const op = 'store.repair';
  const folder = join(stateDir, 'pool');
  const record = await readPoolRecord(folder);
  if (record === null || record.kind === 'adopted') return [];
  const dm = createDm({ exec });
  const loops = createLoops(exec);
  const metaPath =
    record.kind === 'loop' && record.meta !== null
      ? (await loops.attach(record.meta.path, op)).path
      : (record.meta?.path ?? '');
  const pool = createPool({ folder, options: {}, exec, dm, loops });
  if (!(await needsRepair(record, dm, metaPath, op))) {
    // A full pool is whole: who has it must choose what goes.
    if ((await dm.findByName(record.dmName))?.live === true) await pool.assertHealthy(op);
    return [];
  }
  await takeOff(record, dm, exec, op);
  await checkMetadata(metaPath, join(folder, 'meta.spare'), exec, op);
  await pool.ready(op);
  await pool.assertHealthy(op, 'changes');
  return [`checked the metadata of the pool ${record.dmName} and made it writable again`];
}

async function needsRepair(record: PoolRecord, dm: Dm, metaPath: string, op: string): Promise<boolean> {
  if ((await dm.findByName(record.dmName))?.live !== true)
    return parseSuperblock(await readStart(metaPath, superblockBytes))?.needsCheck === true;
  const status = parsePoolStatus((await dm.status(record.dmName, op))?.args ?? []);
  if (status === null || isMetadataFull(status)) return false;
  return status.needsCheck || status.mode === 'ro' || status.mode === 'fail';
}

/** Unmounts and unmaps what is on the pool, then the pool: thin_check(8) may not look at live metadata. */
async function takeOff(record: PoolRecord, dm: Dm, exec: Exec, op: string): Promise<void> {
  const prefix = `flyd-${record.name}-`;
  for (const { uuid, dev } of await dm.list(prefix)) {
    const subject = uuid.slice(prefix.length);
    const busy = subject.startsWith('act-') ? 'activation_busy' : 'volume_busy';
    for (const { mountPoint } of mountsOfDevice(await readMounts(), dev).reverse())
      await unmountAt(mountPoint, { exec, op, subject, busy });
    await dm.remove(uuid, op, busy);
  }
  await dm.remove(record.dmUuid, op, 'volume_busy');
}

/**
 * What thin_repair(8) makes of damaged metadata may lack mappings, so a person decides on it. It writes into a
 * file that has its size already.
 */
const repairByHand = (path: string, spare: string): string =>
  [
    `dd if=${path} of=${spare}.damaged bs=4K`,
    `cp ${spare}.damaged ${spare}`,
    `thin_repair -i ${path} -o ${spare}`,
    `thin_check --quiet ${spare}`,
    `dd if=${spare} of=${path} bs=4K conv=fsync`,
  ].join('; ');

async function checkMetadata(path: string, spare: string, exec: Exec, op: string): Promise<void> {
  const options = { op, subject: path, timeoutMs: checkTimeoutMs };
  try {
    await exec('thin_check', ['--quiet', path], options);
  } catch (error) {
    throw unrecoverable('pool_broken', `thin_check finds damage on ${path}: ${stderrOf(error).trim()}`, {
      op,
      subject: path,
      hint: `nothing was changed; ${repairByHand(path, spare)}; flyd doctor --fix`,
      cause: error,
    });
  }
  await exec('thin_check', ['--quiet', '--clear-needs-check-flag', path], options);
}
