import { nameBytes } from '#core/blob-files';
import {
  AT_FDCWD,
  close,
  eachName,
  fileSizeAt,
  isErrno,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  openat,
} from '../sys.ts';

/** A folder that several threads look at together, in memory that they share. */
export interface LookJob {
  folder: string;
  /** The names of its files, each of `nameBytes`: empty until the folder is listed. */
  names: SharedArrayBuffer;
  /** A Float64 for each name: the bytes of the file; -1 of one that is not there, or not a file. */
  sizes: SharedArrayBuffer;
  /** Int32s: how far the listing is, and how many files somebody has taken on. */
  steps: SharedArrayBuffer;
}

/** Address space, of which only what is listed becomes memory: for 64 million files. */
const namesBytesMax = 2 ** 32;
const sizeBytes = Float64Array.BYTES_PER_ELEMENT;

export const newLook = (folder: string): LookJob => ({
  folder,
  names: new SharedArrayBuffer(0, { maxByteLength: namesBytesMax }),
  sizes: new SharedArrayBuffer(0, { maxByteLength: (namesBytesMax / nameBytes) * sizeBytes }),
  steps: new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT),
});

const [listing, taken] = [0, 1] as const;
const listingIs = { nobodys: 0, somebodys: 1, over: 2 } as const;

/**
 * Lists the folder, if nobody does so yet; false when somebody does. Fails with the error of openat(2) or
 * getdents64(2): then it is over, too, for those who wait, and there are no names.
 */
export function listOnce({ folder, names, sizes, steps }: LookJob): boolean {
  const step = new Int32Array(steps);
  const { nobodys, somebodys, over } = listingIs;
  if (Atomics.compareExchange(step, listing, nobodys, somebodys) !== nobodys) return false;
  try {
    const found = namesIn(folder);
    names.grow(found.length);
    new Uint8Array(names).set(found);
    sizes.grow((found.length / nameBytes) * sizeBytes);
  } finally {
    Atomics.store(step, listing, over);
    Atomics.notify(step, listing);
  }
  return true;
}

/** Waits, and so does its thread, until somebody's listing is over. */
export const waitListed = ({ steps }: LookJob): void =>
  void Atomics.wait(new Int32Array(steps), listing, listingIs.somebodys);

/** The same without holding up anybody. */
export async function untilListed({ steps }: LookJob): Promise<void> {
  await Atomics.waitAsync(new Int32Array(steps), listing, listingIs.somebodys).value;
}

/** What was found, once nobody looks any more. */
export const foundBy = ({ names, sizes }: LookJob): { names: Uint8Array; sizes: Float64Array } => ({
  names: new Uint8Array(names).slice(),
  sizes: new Float64Array(sizes).slice(),
});

/** All names of `nameBytes` bytes, one after the other; none when there is no folder. */
function namesIn(folder: string): Uint8Array {
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
  if (fd === null) return found.subarray(0, 0);
  try {
    eachName(fd, keep);
  } finally {
    close(fd);
  }
  return found.subarray(0, length);
}

function openFolder(folder: string): number | null {
  try {
    return openat(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null;
    throw error;
  }
}

/** So many are looked at in a few milliseconds. */
const portion = 1024;

/**
 * Looks at listed files that nobody else has taken on, portion after portion. One of many threads does so at a
 * time for each; all that were taken on are done when all have returned.
 */
export function* measureFiles(job: LookJob): Generator<void> {
  const names = new Uint8Array(job.names);
  const sizes = new Float64Array(job.sizes);
  if (sizes.length === 0) return;
  const steps = new Int32Array(job.steps);
  const name = Buffer.alloc(nameBytes + 1);
  const found = new Float64Array(portion);
  const dirfd = openat(AT_FDCWD, job.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  try {
    for (;;) {
      const start = Atomics.add(steps, taken, portion);
      if (start >= sizes.length) return;
      const end = Math.min(start + portion, sizes.length);
      // Copied, because V8 takes ten times as long for each element of memory that can grow.
      const some = Buffer.from(names.slice(start * nameBytes, end * nameBytes).buffer);
      for (let file = 0; file < end - start; file++) {
        some.copy(name, 0, file * nameBytes, (file + 1) * nameBytes);
        found[file] = fileSizeAt(dirfd, name);
      }
      sizes.set(found.subarray(0, end - start), start);
      yield;
    }
  } finally {
    close(dirfd);
  }
}
