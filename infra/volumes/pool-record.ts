import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unrecoverable } from '#core/errors';
import { errnoOf, fileError, writeDurably } from '../durable.ts';

/** A device of the pool: where it was, and how to know it again. */
export interface PoolDevice {
  /** The block device, or the file under a loop device. */
  path: string;
  bytes: number;
  serial: string | null;
}

/**
 * `<state>/pool/pool.json`: what flyd knows of its pool. It is written before anything is made, so
 * that a pool that exists without it is somebody else's.
 */
export interface PoolRecord {
  version: 1;
  /** `creating`: nothing of value can be in the pool yet. */
  state: 'creating' | 'ready';
  /** `adopted`: an operator made the pool, and makes it anew after a reboot. */
  kind: 'loop' | 'devices' | 'adopted';
  /** Devices of volumes are named `flyd-<name>-<volume id>`. */
  name: string;
  /** The pool's own device-mapper name and uuid. */
  dmName: string;
  dmUuid: string;
  /** Written into the pool as its transaction id: the pool's identity. Null for an adopted pool, whose maker uses it. */
  generation: number | null;
  blockBytes: number;
  lowWaterBlocks: number;
  dataBytes: number;
  /** New blocks are filled with zeros before use. */
  zeroing: boolean;
  /** The loop file has its space reserved; giving blocks back would lose the reservation. */
  preallocated: boolean;
  data: PoolDevice | null;
  meta: PoolDevice | null;
  /** What was unwise about it when it was made. */
  warnings: string[];
}

/** What gives a pool more metadata, in words: removing things needs some as well. */
export const moreMetadata = ({ kind, meta, dmName }: PoolRecord): string => {
  if (kind === 'loop') return 'flyd doctor --fix makes its metadata larger';
  if (kind === 'devices') return `make ${meta?.path} larger, then flyd doctor --fix`;
  return `make the metadata of ${dmName} larger (for LVM: lvextend --poolmetadatasize)`;
};

const fileOf = (folder: string): string => join(folder, 'pool.json');

/** The record in the pool folder, or null without one. A damaged one is `pool_refused`: guessing could destroy a pool. */
export async function readPoolRecord(folder: string): Promise<PoolRecord | null> {
  const path = fileOf(folder);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw fileError(error, 'read', path);
  }
  const record = parse(text);
  if (record !== null) return record;
  throw unrecoverable('pool_refused', `${path} is damaged, or of a newer version`, {
    subject: path,
    hint: 'restore it from a backup, or remove the pool with scripts/cleanup',
  });
}

export const writePoolRecord = (folder: string, record: PoolRecord): Promise<void> =>
  writeDurably(fileOf(folder), `${JSON.stringify(record, null, 2)}\n`);

function parse(text: string): PoolRecord | null {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is PoolRecord {
  if (typeof value !== 'object' || value === null) return false;
  const r = value as Record<string, unknown>;
  const texts = ['name', 'dmName', 'dmUuid'].every((key) => typeof r[key] === 'string');
  const numbers = ['blockBytes', 'lowWaterBlocks', 'dataBytes'].every((key) => Number.isSafeInteger(r[key]));
  return (
    r.version === 1 &&
    texts &&
    numbers &&
    ['creating', 'ready'].includes(String(r.state)) &&
    ['loop', 'devices', 'adopted'].includes(String(r.kind)) &&
    (r.generation === null || Number.isSafeInteger(r.generation)) &&
    typeof r.zeroing === 'boolean' &&
    typeof r.preallocated === 'boolean' &&
    isDevice(r.data) &&
    isDevice(r.meta) &&
    Array.isArray(r.warnings)
  );
}

function isDevice(value: unknown): boolean {
  if (value === null) return true;
  const device = value as Record<string, unknown>;
  return typeof device.path === 'string' && Number.isSafeInteger(device.bytes);
}
