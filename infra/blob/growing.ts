import fs from 'node:fs';
import { chunkBytes } from '../layer/stored.ts';

/**
 * A file that one thread writes and another reads from its start. Bytes are never read before they were said
 * to be there, so nothing has to be kept in memory between the two.
 */
export interface SharedGrowth {
  control: SharedArrayBuffer;
  available: SharedArrayBuffer;
}

const wake = 0;
const state = 1;

const finished = 1;
const stopped = 2;

export const makeGrowth = (): SharedGrowth => ({
  control: new SharedArrayBuffer(8),
  available: new SharedArrayBuffer(8),
});

/** The writer says that the first `bytes` bytes are there. */
export function extendTo(growth: SharedGrowth, bytes: number): void {
  Atomics.store(new BigInt64Array(growth.available), 0, BigInt(bytes));
  tell(growth);
}

/** The writer says that no more will come. */
export const finishGrowth = (growth: SharedGrowth): void => settle(growth, finished);

/** The reader is to end with an error, at the next chunk, or now if it waits for one. */
export const stopGrowth = (growth: SharedGrowth): void => settle(growth, stopped);

function settle(growth: SharedGrowth, how: number): void {
  Atomics.store(new Int32Array(growth.control), state, how);
  tell(growth);
}

function tell({ control }: SharedGrowth): void {
  const words = new Int32Array(control);
  Atomics.add(words, wake, 1);
  Atomics.notify(words, wake);
}

/** What is in the file, as it comes; waits without an event loop. Each chunk is good until the next is asked for. */
export function* growingFile(fd: number, growth: SharedGrowth): Generator<Buffer, void> {
  const words = new Int32Array(growth.control);
  const available = new BigInt64Array(growth.available);
  const chunk = Buffer.allocUnsafe(chunkBytes);
  for (let at = 0; ; ) {
    const seen = Atomics.load(words, wake);
    const how = Atomics.load(words, state); // before the look at the bytes: the last come first
    if (how === stopped) throw new Error('reading a growing file was stopped');
    const there = Number(Atomics.load(available, 0));
    if (at < there) {
      const bytes = fs.readSync(fd, chunk, 0, Math.min(chunkBytes, there - at), at);
      if (bytes === 0) throw new Error(`the file ends at ${at}, ${there} bytes were written`);
      at += bytes;
      yield chunk.subarray(0, bytes);
    } else if (how === finished) return;
    else Atomics.wait(words, wake, seen);
  }
}
