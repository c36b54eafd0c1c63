import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { startThreads } from '../threads.ts';

/** Where the blob store below `dir` has whole blobs. */
export const blobFolderOf = (dir: string): string => join(dir, 'blobs', 'sha256');

/** How many threads look at a folder beside the main one. */
const most = { names: 1, sizes: 2 } as const;

/** From so many bytes that a folder itself takes, some ten thousand files, a thread is worth its start of 40 ms of CPU. */
const folderBytesMin = 1024 * 1024;

/** How many threads it pays to have, to list the files of a folder or to look at each. */
export function lookersFor(folder: string, what: keyof typeof most): number {
  return sizeOf(folder) < folderBytesMin ? 0 : Math.min(most[what], availableParallelism() - 1);
}

function sizeOf(folder: string): number {
  try {
    return statSync(folder).size;
  } catch {
    return 0; // whoever comes to list it says what is wrong
  }
}

/**
 * Starts these threads ahead, and `others` for what else is to be done: they are there when the main one, busy
 * loading, comes to need them.
 */
export const startLookers = (folder: string, what: keyof typeof most, others = 0): void =>
  startThreads(lookersFor(folder, what) + others);
