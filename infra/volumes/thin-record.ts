import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unrecoverable } from '#core/errors';
import { errnoOf, fileError, removeLeftovers, unlinkDurably, writeDurably } from '../durable.ts';
import { checkId } from './folders.ts';

export type FileSystem = 'ext4' | 'xfs';

/**
 * `<state>/volumes/devmapper/<id>.json`: what flyd has in the pool under this id. The pool itself
 * knows device numbers only, no names, sizes or file systems. Written before the device is made and
 * removed after it is deleted, so that nothing in the pool is without one.
 */
export interface ThinRecord {
  version: 1;
  id: string;
  /** Thin device id in the pool. */
  device: number;
  /** Virtual size. */
  bytes: number;
  /** Inherited from the parent, never taken from the configuration of the day. */
  fs: FileSystem;
  /** An activation: grown and given its owner. From then on a guest may have written its file system. */
  prepared: boolean;
}

const fileOf = (folder: string, id: string): string => {
  checkId(id);
  return join(folder, `${id}.json`);
};

/** The record of an id, or null. A damaged one is an error: it says which device to delete. */
export async function readThinRecord(folder: string, id: string): Promise<ThinRecord | null> {
  const path = fileOf(folder, id);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw fileError(error, 'read', path);
  }
  try {
    const value: unknown = JSON.parse(text);
    if (isThinRecord(value) && value.id === id) return value;
  } catch {
    // told below, with what is not JSON at all
  }
  throw unrecoverable('driver_failed', `${path} is damaged, or of a newer version`, { subject: path });
}

/** Writes the record; what an earlier writer of it left when it was killed goes first: an id has one writer at a time. */
export async function writeThinRecord(folder: string, record: ThinRecord): Promise<void> {
  const path = fileOf(folder, record.id);
  await removeLeftovers(path);
  await writeDurably(path, `${JSON.stringify(record)}\n`);
}

/** Removes the record, and what killed writers of it left. True when there was one. */
export async function dropThinRecord(folder: string, id: string): Promise<boolean> {
  const path = fileOf(folder, id);
  await removeLeftovers(path);
  return unlinkDurably(path);
}

function isThinRecord(value: unknown): value is ThinRecord {
  if (typeof value !== 'object' || value === null) return false;
  const r = value as Record<string, unknown>;
  return (
    r.version === 1 &&
    typeof r.id === 'string' &&
    Number.isSafeInteger(r.device) &&
    Number.isSafeInteger(r.bytes) &&
    (r.fs === 'ext4' || r.fs === 'xfs') &&
    typeof r.prepared === 'boolean'
  );
}
