import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const MiB = 1024 * 1024;

/** Writes into a new file until the pool takes no more, or so many MiB are on the disk. Gives the error's code. */
export function fillUp(rootfs: string, mebibytes = 300): string | undefined {
  const fd = openSync(join(rootfs, 'filler'), 'w');
  try {
    for (let n = 0; n < mebibytes; n += 1) {
      writeSync(fd, Buffer.alloc(MiB, n + 1));
      fsyncSync(fd);
    }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  } finally {
    closeSync(fd);
  }
  return undefined;
}
