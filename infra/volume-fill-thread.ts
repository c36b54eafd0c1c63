import { type ErrorRecord, toErrorRecord } from '#core/errors';
import { syncfs } from './sys.ts';

/** Waits for one syncfs(2) of the file system of an open file; see volume-fill.ts. */
export function run(fd: number): ErrorRecord | null {
  try {
    syncfs(fd);
    return null;
  } catch (error) {
    return toErrorRecord(error);
  }
}
