import { availableParallelism } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { nameBytes } from '#core/blob-files';
import { type ErrorRecord, fromErrorRecord } from '#core/errors';
import { AT_FDCWD, close, eachName, isErrno, O_CLOEXEC, O_DIRECTORY, O_RDONLY, openat } from '../sys.ts';
import { besideModule, inThread } from '../threads.ts';
import { measureFiles, type SizesJob } from './file-sizes.ts';

const thread = besideModule(import.meta.url, './file-sizes-thread');

/** Fewer are looked at before a thread has started. */
const filesForThreads = 16_384;
const threadsMax = 3;

/** All names of `nameBytes` bytes in a folder, one after the other, in shared memory; none when there is no folder. */
export function listNames(folder: string): Uint8Array {
  let found = Buffer.alloc(64 * 1024);
  let length = 0;
  const keep = (bytes: Buffer, start: number): void => {
    if (length + nameBytes > found.length) found = Buffer.concat([found, Buffer.alloc(found.length)]);
    // One that is longer or shorter is written over by the next.
    for (let at = 0; at < nameBytes; at++) {
      const byte = bytes[start + at] ?? 0;
      if (byte === 0) return;
      found[length + at] = byte;
    }
    if (bytes[start + nameBytes] === 0) length += nameBytes;
  };
  const fd = openFolder(folder);
  if (fd === null) return new Uint8Array(0);
  try {
    eachName(fd, keep);
  } finally {
    close(fd);
  }
  const names = new Uint8Array(new SharedArrayBuffer(length));
  names.set(found.subarray(0, length));
  return names;
}

function openFolder(folder: string): number | null {
  try {
    return openat(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null;
    throw error;
  }
}

/**
 * Begins to look at these files, many of them in threads of their own, and gives a function that helps until
 * all are done: then it gives the bytes of each, -1 for one that is not there or not a file.
 */
export function startMeasuring(folder: string, names: Uint8Array): () => Promise<Float64Array> {
  const count = names.length / nameBytes;
  const sizes = new Float64Array(new SharedArrayBuffer(count * Float64Array.BYTES_PER_ELEMENT));
  if (count === 0) return async () => sizes;
  const job: SizesJob = { folder, names, sizes, taken: new Int32Array(new SharedArrayBuffer(4)) };
  const threads = count < filesForThreads ? 0 : Math.min(threadsMax, availableParallelism() - 1);
  const others = Promise.all(
    Array.from({ length: threads }, () => inThread<SizesJob, ErrorRecord | null>(thread, job)),
  );
  others.catch(() => {}); // told to whoever waits for the sizes
  return async () => {
    for (const _ of measureFiles(job)) await setImmediate();
    const failed = (await others).find((error) => error !== null);
    if (failed !== undefined) throw fromErrorRecord(failed as ErrorRecord);
    return sizes;
  };
}
