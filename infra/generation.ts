import { closeSync, fdatasyncSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { errnoOf, fileError, syncDir } from './durable.ts';

/**
 * How far the database has come, in a file beside it: one number, never ahead of the database. So a
 * database behind it is an old one, and where there is none any more, there was one.
 */

/** As many digits as a safe integer has: always as long, so that a write in place is one write. */
const digits = 16;

/** The number that was noted; null where none ever was. Fails with `permission`, `system_call`. */
export function readGeneration(path: string): number | null {
  try {
    const number = Number(readFileSync(path, 'utf8'));
    return Number.isSafeInteger(number) ? number : 0;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw fileError(error, 'read', path);
  }
}

/** Notes the number, durably, after the database has it. Fails with `no_space`, `permission`, `system_call`. */
export async function writeGeneration(path: string, number: number): Promise<void> {
  const isNew = statSync(path, { throwIfNoEntry: false }) === undefined;
  try {
    const fd = openSync(path, isNew ? 'a' : 'r+', 0o600);
    try {
      writeSync(fd, `${String(number).padStart(digits, '0')}\n`, 0);
      fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw fileError(error, 'write', path);
  }
  if (isNew) await syncDir(dirname(path));
}
