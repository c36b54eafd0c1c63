import { join } from 'node:path';
import { toErrorRecord } from '#core/errors';
import type { PoolPicture } from '#core/invariants';
import type { Exec } from '../exec.ts';
import { readStart } from './block-device.ts';
import { type PoolStatus, parsePoolStatus } from './dm-status.ts';
import { createDm } from './dmsetup.ts';
import { idsIn } from './folders.ts';
import { createLoops } from './loop.ts';
import { createPool } from './pool.ts';
import { deviceMax, deviceMin, readPoolDevices } from './pool-devices.ts';
import { type PoolRecord, readPoolRecord } from './pool-record.ts';
import { parseSuperblock, superblockBytes } from './superblock.ts';
import { readThinRecord } from './thin-record.ts';

/** The thin pool of a state directory as it is now; nothing is mapped, attached or mended for it. */
export interface PoolLook extends PoolPicture {
  record: PoolRecord;
  /** Null: the pool is not mapped, or its status makes no sense. */
  status: PoolStatus | null;
  /** Not mapped, and it will not be: its metadata needs a check first. */
  needsCheck: boolean;
  /** Ids whose record names a device that the pool does not have (any more). */
  lost: string[];
  /** Records that cannot be read, with why. */
  damaged: { id: string; why: string }[];
}

/** Null when the state directory has no pool. Errors: `pool_refused` (its record is damaged), `command_failed`. */
export async function lookAtPool(stateDir: string, exec: Exec, op: string): Promise<PoolLook | null> {
  const folder = join(stateDir, 'pool');
  const record = await readPoolRecord(folder);
  if (record === null) return null;
  const dm = createDm({ exec });
  const pool = createPool({ folder, options: {}, exec, dm, loops: createLoops(exec) });
  const prefix = `flyd-${record.name}-`;
  const mapped = (await dm.list(prefix))
    .filter(({ live }) => live)
    .map(({ uuid }) => uuid.slice(prefix.length));
  const live = (await dm.findByName(record.dmName))?.live === true;
  const status = live ? parsePoolStatus((await dm.status(record.dmName, op))?.args ?? []) : null;
  // A pool that has lost trust in its metadata refuses every message (pool_message in drivers/md/dm-thin.c).
  const readable = status?.mode === 'rw' || status?.mode === 'out_of_data_space';
  const volumes = join(stateDir, 'volumes/devmapper');
  // A record comes before its device and goes after it: what has none before and after was lost.
  const before = (await readRecords(volumes)).records;
  const devices = readable ? await readPoolDevices({ record, pool, dm, exec }, op) : null;
  const after = await readRecords(volumes);
  return {
    record,
    status,
    needsCheck: !live && (await needsCheckUnmapped(record)),
    mapped,
    shared: record.kind === 'adopted',
    devices: devices?.filter((device) => device >= deviceMin && device <= deviceMax) ?? null,
    ...after,
    lost: after.records
      .filter(({ id, device }) => devices?.includes(device) === false && before.some((old) => old.id === id))
      .map(({ id }) => id),
  };
}

async function needsCheckUnmapped({ kind, meta }: PoolRecord): Promise<boolean> {
  if (kind === 'adopted' || meta === null) return false;
  // Of a loop pool the file has it too, whether or not it is attached.
  const block = await readStart(meta.path, superblockBytes).catch(() => Buffer.alloc(0));
  return parseSuperblock(block)?.needsCheck === true;
}

async function readRecords(folder: string): Promise<Pick<PoolLook, 'records' | 'damaged'>> {
  const records: { id: string; device: number }[] = [];
  const damaged: PoolLook['damaged'] = [];
  for (const id of await idsIn(folder)) {
    try {
      const record = await readThinRecord(folder, id);
      if (record !== null) records.push({ id, device: record.device });
    } catch (error) {
      damaged.push({ id, why: toErrorRecord(error).message });
    }
  }
  return { records, damaged };
}
