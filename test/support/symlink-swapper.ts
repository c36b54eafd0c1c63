import path from 'node:path';
import { isMainThread, workerData } from 'node:worker_threads';
import { FlydError } from '#core/errors';
import { removeEntry } from '#infra/layer/remove';
import * as sys from '#infra/sys';

/**
 * Somebody who works against the applier, as fast as one thread can: swaps directories of a tree for
 * links that lead out, and puts links to a file outside where files are being made.
 */
export interface SwapJob {
  rootfs: string;
  outside: string;
  /** Word 0: 0 pause, 1 go, 2 end. Word 1: 1 while the swapper rests, 2 when it ended. */
  words: Int32Array;
}

export const pause = 0;
export const go = 1;
export const end = 2;
/** In word 1: no swapper any more. */
export const ended = 2;

/** Places of the layers that are worth a swap: their folder, their name, and where a link in their stead leads. */
const directories = [
  { folder: '.', name: 'a', leads: '.' },
  { folder: 'a', name: 'b', leads: 'b' },
] as const;
const leaves = [
  { folder: 'a', name: 'p' },
  { folder: 'a/b', name: 'f' },
  { folder: 'a', name: 'h' },
  { folder: 'a/b', name: 's' },
] as const;

const RENAME_EXCHANGE = 2;

/** What the applier was faster with is left alone. */
function quietly(act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof FlydError)) throw error;
  }
}

/** The swapper must not be led outside by its own links. */
function inFolder(root: number, folder: string, act: (fd: number) => void): void {
  const flags = sys.O_PATH | sys.O_DIRECTORY | sys.O_CLOEXEC;
  const fd = sys.openat2(root, folder, { flags, resolve: sys.RESOLVE_NO_SYMLINKS });
  try {
    act(fd);
  } finally {
    sys.close(fd);
  }
}

/** Puts a link at `evil` beside the tree; what stood there, perhaps a directory that is still written to, goes. */
function makeEvil(base: number, target: string): void {
  quietly(() => removeEntry(base, Buffer.from('evil'), true));
  quietly(() => sys.symlinkat(target, base, 'evil'));
}

function swap(base: number, root: number, outside: string, round: number): void {
  const { folder, name, leads } = directories[round % directories.length] ?? directories[0];
  makeEvil(base, path.join(outside, leads));
  quietly(() =>
    inFolder(root, folder, (fd) => {
      sys.renameat(base, 'evil', fd, name, RENAME_EXCHANGE);
      quietly(() => sys.renameat(base, 'evil', fd, name, RENAME_EXCHANGE));
    }),
  );
  const leaf = leaves[round % leaves.length] ?? leaves[0];
  makeEvil(base, path.join(outside, 'secret'));
  quietly(() => inFolder(root, leaf.folder, (fd) => sys.renameat(base, 'evil', fd, leaf.name)));
}

/** Swaps in the tree that stands there now, until told to rest. */
function work({ rootfs, outside, words }: SwapJob, from: number): number {
  const flags = sys.O_PATH | sys.O_DIRECTORY | sys.O_CLOEXEC;
  const base = sys.openat(sys.AT_FDCWD, path.dirname(rootfs), flags);
  const root = sys.openat(base, path.basename(rootfs), flags);
  let round = from;
  for (; Atomics.load(words, 0) === go; round++) {
    swap(base, root, outside, round);
    // Not always at once: an applier that never comes far proves little.
    if (round % 3 === 0) Atomics.wait(words, 3, 0, (round % 16) / 20);
  }
  sys.close(root);
  sys.close(base);
  return round;
}

function run(job: SwapJob): void {
  const { words } = job;
  for (let round = 0; ; ) {
    const order = Atomics.load(words, 0);
    if (order === end) return;
    if (order === go) {
      round = work(job, round);
      continue;
    }
    Atomics.store(words, 1, 1);
    Atomics.notify(words, 1);
    Atomics.wait(words, 0, pause);
    Atomics.store(words, 1, 0);
  }
}

if (!isMainThread) {
  const job = workerData as SwapJob;
  try {
    run(job);
  } finally {
    Atomics.store(job.words, 1, ended);
    Atomics.notify(job.words, 1);
  }
}
