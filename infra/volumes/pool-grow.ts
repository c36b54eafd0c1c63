import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { unrecoverable } from '#core/errors';
import { fileError } from '../durable.ts';
import type { Exec } from '../exec.ts';
import { blockDevice } from './block-device.ts';
import { parsePoolStatus } from './dm-status.ts';
import { createDm, type Dm } from './dmsetup.ts';
import { createLoops } from './loop.ts';
import { createPool } from './pool.ts';
import { type PoolDevice, type PoolRecord, readPoolRecord, writePoolRecord } from './pool-record.ts';
import { isSameDevice, reserveSpace, tableOf } from './pool-set-up.ts';
import { metaBlockBytes, metaMax, poolSize, sectorBytes } from './pool-size.ts';

/** How large a pool of loop files shall be, in bytes; undefined leaves it. Never made smaller. */
export interface PoolSizes {
  dataBytes?: number | undefined;
  metaBytes?: number | undefined;
}

type Half = 'data' | 'meta';
/** Read-only without need of a check: out of metadata space, which more metadata ends. */
const resizable: readonly string[] = ['rw', 'ro', 'out_of_data_space'];

/**
 * Makes the pool as large as its devices are now; loop files are made larger first, when `wished` is more
 * than they are. Gives what was done, in words; nothing where there is nothing to grow, or the pool is
 * another's. The record comes before the table: a pool that is larger than its table is refused by the kernel,
 * one that is smaller grows when it is mapped. Fails with `no_space`, `command_failed`, `pool_refused`.
 */
export async function growPool(stateDir: string, exec: Exec, wished: PoolSizes): Promise<string[]> {
  const op = 'store.repair';
  const folder = join(stateDir, 'pool');
  const dm = createDm({ exec });
  const pool = createPool({ folder, options: {}, exec, dm, loops: createLoops(exec) });
  const before = await readPoolRecord(folder);
  if (before === null || before.kind === 'adopted' || before.state === 'creating') return [];
  return pool.locked(op, async () => {
    const record = (await readPoolRecord(folder)) ?? before;
    const done: string[] = [];
    if (record.kind === 'loop') await enlargeFiles(record, await atLeast(record, wished, dm, op), exec, op);
    const grown = await measured(record, exec, op);
    if (grown.dataBytes > record.dataBytes || (grown.meta?.bytes ?? 0) > (record.meta?.bytes ?? 0)) {
      await writePoolRecord(folder, grown);
      done.push(`made the pool ${record.dmName} larger: ${sizesOf(grown)}`);
    }
    return (await loadTable(grown, dm, op)) && done.length === 0
      ? [`mapped the pool ${record.dmName} in its whole size: ${sizesOf(grown)}`]
      : done;
  });
}

const sizesOf = ({ dataBytes, meta }: PoolRecord): string =>
  `${mib(dataBytes)} MiB of data, ${mib(meta?.bytes ?? 0)} MiB of metadata`;
const mib = (bytes: number): number => Math.floor(bytes / 1024 / 1024);

/** Metadata that is full is doubled unasked: it is small, and without more of it nothing can even be removed. */
async function atLeast(record: PoolRecord, wished: PoolSizes, dm: Dm, op: string): Promise<PoolSizes> {
  if ((await dm.find(record.dmUuid))?.live !== true) return wished;
  const status = parsePoolStatus((await dm.status(record.dmName, op))?.args ?? []);
  const isFull = status !== null && status.metaTotal > 0 && status.metaUsed >= status.metaTotal;
  if (!isFull) return wished;
  const doubled = Math.min(2 * (record.meta?.bytes ?? 0), metaMax);
  return { ...wished, metaBytes: Math.max(doubled, wished.metaBytes ?? 0) };
}

/** Loop files that shall be larger. More data wants more metadata. */
async function enlargeFiles(record: PoolRecord, wished: PoolSizes, exec: Exec, op: string): Promise<void> {
  const { blockBytes } = record;
  const dataBytes = Math.max(wished.dataBytes ?? 0, record.dataBytes);
  const size = poolSize({ dataBytes, blockBytes });
  const more = dataBytes > record.dataBytes ? size.metaBytes : 0;
  await enlarge(record, 'data', size.dataBytes, exec, op);
  await enlarge(record, 'meta', Math.max(more, wished.metaBytes ?? 0), exec, op);
}

async function enlarge(record: PoolRecord, half: Half, bytes: number, exec: Exec, op: string): Promise<void> {
  const device = record[half];
  if (device === null || (await stat(device.path)).size >= bytes) return;
  if (record.preallocated && !(await reserveSpace({ ...device, bytes }, exec, op)))
    throw unrecoverable('no_space', `${device.path} cannot be made larger: its file system lacks the room`, {
      op,
      subject: device.path,
      hint: 'free some space, or ask for less',
      facts: { bytes },
    });
  const file = await open(device.path, 'r+');
  try {
    await file.truncate(bytes);
    await file.sync();
  } catch (error) {
    throw fileError(error, 'make larger', device.path);
  } finally {
    await file.close();
  }
}

/** The record with the sizes that its devices have now. */
async function measured(record: PoolRecord, exec: Exec, op: string): Promise<PoolRecord> {
  const data = await measure(record, record.data, exec, op);
  const meta = await measure(record, record.meta, exec, op);
  const { blockBytes } = record;
  const dataBytes = Math.floor((data?.bytes ?? 0) / blockBytes) * blockBytes;
  return { ...record, data, meta, dataBytes: Math.max(dataBytes, record.dataBytes) };
}

async function measure(
  { kind }: PoolRecord,
  device: PoolDevice | null,
  exec: Exec,
  op: string,
): Promise<PoolDevice | null> {
  if (device === null) return null;
  if (kind === 'loop') {
    const loop = await createLoops(exec).find(device.path, op);
    if (loop !== null) await exec('losetup', ['--set-capacity', loop.path], { op, subject: loop.path });
    return { ...device, bytes: Math.max(device.bytes, (await stat(device.path)).size) };
  }
  const now = await blockDevice(device.path, op);
  return isSameDevice(now, device) ? { ...device, bytes: now.bytes } : device;
}

/**
 * Loads the table of the record where the mapped pool has less than its devices; gives whether it did. One
 * whose metadata needs a check must not be resized: it comes up in its whole size when it is repaired.
 */
async function loadTable(record: PoolRecord, dm: Dm, op: string): Promise<boolean> {
  if ((await dm.find(record.dmUuid))?.live !== true) return false;
  const table = await dm.table(record.dmName, op);
  const status = parsePoolStatus((await dm.status(record.dmName, op))?.args ?? []);
  if (table === null || status === null || status.needsCheck || !resizable.includes(status.mode))
    return false;
  const metaBytes = Math.min(record.meta?.bytes ?? 0, metaMax);
  const isWhole =
    table.sectors * sectorBytes >= record.dataBytes &&
    status.metaTotal >= Math.floor(metaBytes / metaBlockBytes);
  const [meta = '', data = ''] = table.args;
  if (!isWhole) await dm.reload(record.dmName, tableOf(record, meta, data), op);
  return !isWhole;
}
