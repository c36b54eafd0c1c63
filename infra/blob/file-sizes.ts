import { nameBytes } from '#core/blob-files';
import { AT_FDCWD, close, fileSizeAt, O_CLOEXEC, O_DIRECTORY, O_RDONLY, openat } from '../sys.ts';

/** Files to look at, in memory that threads share. */
export interface SizesJob {
  folder: string;
  /** Their names, each of `nameBytes`. */
  names: Uint8Array;
  /** Where their bytes go; -1 for one that is not there, or not a file. */
  sizes: Float64Array;
  /** One number: how many of them somebody has taken on. */
  taken: Int32Array;
}

/** So many are looked at in a few milliseconds. */
const portion = 1024;

/**
 * Looks at files that nobody else has taken on, portion after portion. One of many threads does so at a time
 * for each; all that were taken on are done when all have returned.
 */
export function* measureFiles({ folder, names, sizes, taken }: SizesJob): Generator<void> {
  const name = Buffer.alloc(nameBytes + 1);
  const dirfd = openat(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  try {
    for (;;) {
      const start = Atomics.add(taken, 0, portion);
      if (start >= sizes.length) return;
      const end = Math.min(start + portion, sizes.length);
      for (let file = start; file < end; file++) {
        for (let at = 0; at < nameBytes; at++) name[at] = names[file * nameBytes + at] ?? 0;
        sizes[file] = fileSizeAt(dirfd, name);
      }
      yield;
    }
  } finally {
    close(dirfd);
  }
}
