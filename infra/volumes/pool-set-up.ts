import { open } from 'node:fs/promises';
import { unrecoverable } from '#core/errors';
import { fileError, syncDir } from '../durable.ts';
import type { Exec, ExecLog } from '../exec.ts';
import { assertBlank } from './blank.ts';
import { type BlockDevice, blockDevice, readStart, zeroStart } from './block-device.ts';
import { parsePoolStatus } from './dm-status.ts';
import type { DmDevice } from './dm-sysfs.ts';
import type { Dm } from './dmsetup.ts';
import { exists } from './folders.ts';
import type { Loops } from './loop.ts';
import type { PoolOptions } from './pool-plan.ts';
import { type PoolDevice, type PoolRecord, writePoolRecord } from './pool-record.ts';
import { sectorBytes } from './pool-size.ts';
import { isZero, parseSuperblock, superblockBytes } from './superblock.ts';

export interface PoolLog extends ExecLog {
  warn(fields: object, message: string): void;
}

export interface PoolDependencies {
  /** `<state>/pool`. */
  folder: string;
  options: PoolOptions;
  exec: Exec;
  dm: Dm;
  loops: Loops;
  log?: PoolLog | undefined;
}

/** The pool as it is mapped now. */
export interface LivePool {
  record: PoolRecord;
  /** `major:minor` of the pool's device. */
  dev: string;
}

/** Finds the adopted pool, and that it is the one that was adopted. Making it is its operator's business. */
export async function findAdopted(record: PoolRecord, dm: Dm, op: string): Promise<LivePool> {
  const device = await dm.findByName(record.dmName);
  if (device === null)
    throw unrecoverable('pool_missing', `the adopted pool ${record.dmName} is not there`, {
      op,
      subject: record.dmName,
      hint: 'activate it (for LVM: vgchange -ay), as after each reboot',
    });
  const table = await dm.table(record.dmName, op);
  const same =
    device.uuid === record.dmUuid &&
    table?.target === 'thin-pool' &&
    Number(table.args[2]) * sectorBytes === record.blockBytes;
  if (!same)
    throw unrecoverable('pool_refused', `${record.dmName} is not the pool that was adopted`, {
      op,
      subject: record.dmName,
    });
  return { record, dev: device.dev };
}

const metaStartBytes = 4096;

/** Maps flyd's own pool, or compares the mapped one with the record; finishes one that is being made. */
export async function bringUp(
  recorded: PoolRecord,
  dependencies: PoolDependencies,
  op: string,
): Promise<LivePool> {
  const { dm, folder } = dependencies;
  const making = recorded.state === 'creating' && recorded.kind === 'loop';
  const record = making ? await makeFiles(recorded, dependencies, op) : recorded;
  const meta = await attach(record, record.meta, dependencies, op);
  const data = await attach(record, record.data, dependencies, op);
  const found = await dm.find(record.dmUuid);
  if (found?.live === true) await checkMapped(found, record, { meta: meta.dev, data: data.dev }, dm, op);
  else await checkMetadata(record, meta.path, dependencies, op);
  const table = tableOf(record, meta.path, data.path);
  const device = await dm.create({ name: record.dmName, uuid: record.dmUuid, table }, op);
  await brand(record, dm, op);
  if (record.state === 'ready') return { record, dev: device.dev };
  const finished: PoolRecord = { ...record, state: 'ready' };
  await writePoolRecord(folder, finished);
  return { record: finished, dev: device.dev };
}

/**
 * Makes the loop files, or goes on making them: as long as the record says `creating`, they are ours
 * to make. Gives the record, corrected when the space could not be reserved.
 */
async function makeFiles(
  record: PoolRecord,
  { exec, log, folder }: PoolDependencies,
  op: string,
): Promise<PoolRecord> {
  let { preallocated } = record;
  for (const device of [record.data, record.meta]) {
    if (device === null) continue;
    const file = await open(device.path, 'a+', 0o600).catch((error: unknown) => {
      throw fileError(error, 'make', device.path);
    });
    try {
      if ((await file.stat()).size === device.bytes) continue;
      if (preallocated) preallocated = await reserveSpace(device, exec, op);
      await file.truncate(device.bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  }
  await syncDir(folder);
  if (preallocated === record.preallocated) return record;
  const warning = 'the space of the loop files could not be reserved: they are sparse';
  log?.warn({ pool: record.dmName }, warning);
  return { ...record, preallocated, warnings: [...record.warnings, warning] };
}

/** Reserves the space of a file; false where the file system cannot. */
export async function reserveSpace(
  { path, bytes }: Pick<PoolDevice, 'path' | 'bytes'>,
  exec: Exec,
  op: string,
): Promise<boolean> {
  const options = { op, subject: path, timeoutMs: 10 * 60_000, okCodes: [0, 1] };
  const { code } = await exec('fallocate', ['-l', String(bytes), path], options);
  return code === 0;
}

/** The block device of one half of the pool, by its path and number; verified to be the recorded one. */
async function attach(
  record: PoolRecord,
  device: PoolDevice | null,
  { loops }: PoolDependencies,
  op: string,
) {
  if (device === null) throw unrecoverable('pool_refused', 'the record of the pool names no device', { op });
  if (record.kind === 'loop' && !(await exists(device.path)))
    throw unrecoverable('pool_missing', `${device.path} is gone`, { op, subject: device.path });
  const path = record.kind === 'loop' ? (await loops.attach(device.path, op)).path : device.path;
  const now = await blockDevice(path, op);
  if (record.kind === 'loop' ? now.bytes < device.bytes : !isSameDevice(now, device))
    throw unrecoverable('pool_refused', `${path} is not the device that the pool was made on`, {
      op,
      subject: path,
      facts: {
        bytes: now.bytes,
        recordedBytes: device.bytes,
        serial: now.serial,
        recordedSerial: device.serial,
      },
    });
  return { path, dev: now.dev };
}

/** A device may have been made larger since, when it can be known by its serial number; else it may be another one. */
export function isSameDevice(now: Omit<BlockDevice, 'dev'>, recorded: PoolDevice): boolean {
  if (recorded.serial === null) return now.bytes === recorded.bytes;
  return now.serial === recorded.serial && now.bytes >= recorded.bytes;
}

/** Before a table is loaded: the metadata must be this pool's, or, for a new pool, blank (then its start is zeroed). */
async function checkMetadata(
  record: PoolRecord,
  path: string,
  { exec }: PoolDependencies,
  op: string,
): Promise<void> {
  const block = await readStart(path, superblockBytes);
  const superblock = parseSuperblock(block);
  const broken = (message: string, hint: string) =>
    unrecoverable('pool_broken', message, { op, subject: path, hint });
  if (record.state === 'creating') {
    const begun = superblock?.transactionId === 0 || superblock?.transactionId === record.generation;
    if (superblock !== null && !begun) throw notOurs(path, op);
    if (superblock !== null) return;
    if (record.kind === 'devices') await assertBlank(path, exec, op);
    if (!isZero(block)) await zeroStart(path, metaStartBytes);
    return;
  }
  if (superblock === null)
    throw broken(`${path} holds no thin pool any more`, 'restore the metadata (thin_restore) from a backup');
  if (superblock.transactionId !== record.generation || superblock.blockBytes !== record.blockBytes)
    throw notOurs(path, op);
  if (superblock.needsCheck)
    throw broken(`the metadata on ${path} needs a check`, 'flyd doctor --fix checks it and brings it back');
}

const notOurs = (path: string, op: string) =>
  unrecoverable('pool_refused', `${path} holds the metadata of another thin pool`, { op, subject: path });

async function checkMapped(
  device: DmDevice,
  record: PoolRecord,
  wanted: { meta: string; data: string },
  dm: Dm,
  op: string,
): Promise<void> {
  const table = await dm.table(device.name, op);
  const [meta, data, blockSectors] = table?.args ?? [];
  const same =
    table?.target === 'thin-pool' &&
    meta === wanted.meta &&
    data === wanted.data &&
    Number(blockSectors) * sectorBytes === record.blockBytes;
  if (!same)
    throw unrecoverable(
      'pool_refused',
      `${device.name} is mapped to other devices than this state directory's`,
      {
        op,
        subject: device.name,
        hint: 'another state directory may use the same --pool-name',
      },
    );
}

/** `error_if_no_space`: a full pool gives an error at once, rather than hanging everything for a minute. */
export function tableOf(record: PoolRecord, meta: string, data: string): string {
  const features = ['error_if_no_space'];
  if (!record.zeroing) features.push('skip_block_zeroing');
  if (record.preallocated) features.push('no_discard_passdown');
  const sectors = record.dataBytes / sectorBytes;
  const block = record.blockBytes / sectorBytes;
  return `0 ${sectors} thin-pool ${meta} ${data} ${block} ${record.lowWaterBlocks} ${features.length} ${features.join(' ')}`;
}

/** Writes the pool's identity into its metadata, once; a pool with another one is not this pool. */
async function brand(record: PoolRecord, dm: Dm, op: string): Promise<void> {
  if (record.generation === null) return;
  const status = async () => parsePoolStatus((await dm.status(record.dmName, op))?.args ?? []);
  const before = await status();
  if (before?.transactionId === record.generation || before?.mode === 'fail' || before?.mode === 'error')
    return;
  if (record.state === 'creating' && before?.transactionId === 0) {
    await dm.message(record.dmName, `set_transaction_id 0 ${record.generation}`, op);
    if ((await status())?.transactionId === record.generation) return;
  }
  throw unrecoverable('pool_refused', `${record.dmName} does not have the identity that was recorded`, {
    op,
    subject: record.dmName,
    facts: { transactionId: before?.transactionId ?? null, recorded: record.generation },
  });
}

/** A killed dmsetup can leave a volume suspended: everything that reads it would hang. */
export async function wakeVolumes(record: PoolRecord, dm: Dm, op: string): Promise<void> {
  for (const device of await dm.list(`flyd-${record.name}-`))
    if (device.suspended && device.live) await dm.resume(device.name, op);
}
