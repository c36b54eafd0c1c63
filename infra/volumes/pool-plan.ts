import { createHash, randomInt } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { unrecoverable } from '#core/errors';
import { namePattern } from '#core/ids';
import type { Exec } from '../exec.ts';
import { assertBlank } from './blank.ts';
import { blockDevice } from './block-device.ts';
import type { Dm } from './dmsetup.ts';
import { exists } from './folders.ts';
import type { PoolRecord } from './pool-record.ts';
import { poolDataDefault, poolSize, sectorBytes } from './pool-size.ts';

/** What the operator may say about the thin pool. Sizes count only when a pool is made. */
export interface PoolOptions {
  /** `--pool`: the device-mapper name of a thin pool that exists; flyd uses device ids of a range of its own in it. */
  adopt?: string | undefined;
  /** `--pool-data` and `--pool-meta`: block devices, blank or already flyd's. */
  dataDevice?: string | undefined;
  metaDevice?: string | undefined;
  /** Name of a pool that flyd makes. Default: `p` and a hash of the state directory. */
  name?: string | undefined;
  /** Sizes of loop files. Bytes. Default: 10 GiB of data, and the metadata they need. */
  dataBytes?: number | undefined;
  metaBytes?: number | undefined;
  /** A multiple of 64 KiB, up to 1 GiB. Default 64 KiB, more for very large pools. */
  blockBytes?: number | undefined;
  /** In blocks. Default: a tenth of the pool. */
  lowWaterBlocks?: number | undefined;
  /** New blocks keep what was in them: a tenant that reads its raw disk sees another's data. Single tenants only. */
  skipBlockZeroing?: boolean | undefined;
  /** Virtual size of a volume without parent. Bytes. Default 10 GiB. */
  volumeBytes?: number | undefined;
  /** File system of a volume without parent. Default ext4. */
  fs?: 'ext4' | 'xfs' | undefined;
  /** How long what is filled may wait for room in an adopted pool whose writers wait. Milliseconds, default 60 s. */
  waitMs?: number | undefined;
}

export interface PlanContext {
  /** `<state>/pool`. */
  folder: string;
  options: PoolOptions;
  exec: Exec;
  dm: Dm;
  op: string;
}

/** Whether the operator has said anything that asks for a pool. */
export const asksForPool = (o: PoolOptions): boolean =>
  [
    o.adopt,
    o.dataDevice,
    o.metaDevice,
    o.name,
    o.dataBytes,
    o.metaBytes,
    o.blockBytes,
    o.lowWaterBlocks,
  ].some((value) => value !== undefined);

const adoptedNamePattern = /^[A-Za-z0-9][A-Za-z0-9+_.-]{0,79}$/;

/** A short name for this state directory's devices, the same each time. */
const nameOf = (folder: string): string =>
  `p${createHash('sha256').update(folder).digest('hex').slice(0, 8)}`;

const usage = (message: string, op: string) => unrecoverable('usage', message, { op, subject: 'pool' });
const refused = (message: string, subject: string, op: string, hint?: string) =>
  unrecoverable('pool_refused', message, { op, subject, hint });

/** Decides what the pool will be. Changes nothing; what exists is checked to be blank, or a pool to adopt. */
export async function planPool(context: PlanContext): Promise<PoolRecord> {
  const { options, op } = context;
  const devices = options.dataDevice !== undefined || options.metaDevice !== undefined;
  if (options.adopt !== undefined && devices)
    throw usage('--pool adopts a pool; --pool-data and --pool-meta make one: give one of the two', op);
  if (options.adopt !== undefined) return planAdopted(context, options.adopt);
  if (!devices) return planLoop(context);
  if (options.dataDevice === undefined || options.metaDevice === undefined)
    throw usage('--pool-data and --pool-meta belong together', op);
  return planDevices(context, options.dataDevice, options.metaDevice);
}

/** Fails when options that are given contradict the pool that exists. */
export function checkOptions(
  record: PoolRecord,
  { adopt, dataDevice, metaDevice, name }: PoolOptions,
  op: string,
): void {
  const differs =
    (adopt !== undefined && (record.kind !== 'adopted' || record.dmName !== adopt)) ||
    (dataDevice !== undefined && record.data?.path !== dataDevice) ||
    (metaDevice !== undefined && record.meta?.path !== metaDevice) ||
    (name !== undefined && record.kind !== 'adopted' && record.name !== name);
  if (!differs) return;
  throw refused(
    `this state directory has another pool: ${describePool(record)}`,
    record.dmName,
    op,
    'leave the pool options out, or use another --state-dir',
  );
}

/** One line for people. */
export function describePool(record: PoolRecord): string {
  if (record.kind === 'adopted') return `the adopted pool ${record.dmName}`;
  return `${record.dmName} on ${record.data?.path ?? '?'} and ${record.meta?.path ?? '?'}`;
}

async function planAdopted({ folder, dm, op }: PlanContext, adopt: string): Promise<PoolRecord> {
  if (!adoptedNamePattern.test(adopt)) throw usage(`not a name of a pool: ${adopt}`, op);
  const device = await dm.findByName(adopt);
  if (device === null)
    throw unrecoverable('pool_missing', `there is no pool ${adopt}`, {
      op,
      subject: adopt,
      hint: 'dmsetup ls',
    });
  const table = await dm.table(adopt, op);
  if (table?.target !== 'thin-pool') throw refused(`${adopt} is not a thin pool`, adopt, op);
  const blockBytes = Number(table.args[2]) * sectorBytes;
  return {
    version: 1,
    state: 'ready',
    kind: 'adopted',
    // Two state directories may adopt one pool: their devices must have different names.
    name: `${adopt}-${nameOf(folder)}`,
    dmName: adopt,
    dmUuid: device.uuid,
    generation: null,
    blockBytes,
    lowWaterBlocks: Number(table.args[3]),
    dataBytes: table.sectors * sectorBytes,
    zeroing: !table.args.includes('skip_block_zeroing'),
    preallocated: false,
    data: null,
    meta: null,
    warnings: [],
  };
}

async function planDevices(context: PlanContext, dataPath: string, metaPath: string): Promise<PoolRecord> {
  const { exec, op } = context;
  const data = await blockDevice(dataPath, op);
  const meta = await blockDevice(metaPath, op);
  if (data.dev === meta.dev) throw usage('pool data and metadata must be two devices', op);
  await assertBlank(dataPath, exec, op);
  await assertBlank(metaPath, exec, op);
  const size = poolSize({ ...context.options, dataBytes: data.bytes, metaBytes: meta.bytes });
  return {
    ...(await ownPool(context)),
    kind: 'devices',
    ...sizesOf(size),
    preallocated: false,
    data: { path: dataPath, bytes: data.bytes, serial: data.serial },
    meta: { path: metaPath, bytes: meta.bytes, serial: meta.serial },
    warnings: size.warnings,
  };
}

async function planLoop(context: PlanContext): Promise<PoolRecord> {
  const { folder, options, op } = context;
  const size = poolSize({ ...options, dataBytes: options.dataBytes ?? poolDataDefault });
  const data = { path: join(folder, 'data'), bytes: size.dataBytes, serial: null };
  const meta = { path: join(folder, 'meta'), bytes: size.metaBytes, serial: null };
  for (const { path } of [data, meta])
    if (await exists(path))
      throw refused(
        `${path} is there, but pool.json is not`,
        path,
        op,
        'restore pool.json from a backup, or remove the pool with scripts/cleanup',
      );
  const preallocated = await fits(folder, size.dataBytes + size.metaBytes);
  const sparse = `the pool's loop file is sparse: when the file system of ${folder} is full, volumes get I/O errors`;
  return {
    ...(await ownPool(context)),
    kind: 'loop',
    ...sizesOf(size),
    preallocated,
    data,
    meta,
    warnings: preallocated ? size.warnings : [...size.warnings, sparse],
  };
}

async function ownPool({ folder, options, dm, op }: PlanContext) {
  const name = options.name ?? nameOf(folder);
  if (!namePattern.test(name)) throw usage(`not a name for a pool: ${name}`, op);
  const dmName = `flyd-${name}`;
  if ((await dm.find(dmName)) !== null || (await dm.findByName(dmName)) !== null)
    throw refused(
      `a device ${dmName} exists, and it is not of this state directory`,
      dmName,
      op,
      'give another --pool-name',
    );
  return {
    version: 1 as const,
    state: 'creating' as const,
    name,
    dmName,
    dmUuid: dmName,
    generation: randomInt(1, 2 ** 47),
    zeroing: options.skipBlockZeroing !== true,
  };
}

const sizesOf = (size: { blockBytes: number; lowWaterBlocks: number; dataBytes: number }) => ({
  blockBytes: size.blockBytes,
  lowWaterBlocks: size.lowWaterBlocks,
  dataBytes: size.dataBytes,
});

const TMPFS_MAGIC = 0x01021994;
const freeShareKept = 0.1;

/** Whether the file system can reserve so many bytes and keep a tenth of itself free. Memory is never reserved. */
async function fits(folder: string, bytes: number): Promise<boolean> {
  const fs = await statfs(folder);
  if (fs.type === TMPFS_MAGIC) return false;
  return fs.bavail * fs.bsize - bytes >= fs.blocks * fs.bsize * freeShareKept;
}
