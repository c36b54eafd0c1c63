import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { trimMemory } from './sys.ts';

type Collect = (options: { type: 'minor' | 'major'; flavor?: 'last-resort' }) => void;

let known: Collect | null = null;

/**
 * The flag stays: it belongs to the process, and another thread may be between setting it and the context that it
 * is set for.
 */
function collector(): Collect {
  if (known === null) {
    setFlagsFromString('--expose-gc');
    known = runInNewContext('gc') as Collect;
  }
  return known;
}

/**
 * Frees what has just died. What comes from the network is in buffers outside of the heap; of some 30 MiB of
 * them V8 collects the whole heap, though it hardly grew, and does so ten times for a layer. A collection of
 * what is young frees them as well, for a tenth of that.
 */
export const collectYoung = (): void => collector()({ type: 'minor' });

/**
 * Frees all that died, where the heap of this thread has grown above so many bytes, and gives the pages back. A
 * plain collection moves little together: of a heap that grew to 40 MiB it leaves 20 for the 6 that live, and of
 * such heaps there is one a thread.
 */
export function collectAbove(bytes: number): void {
  if (getHeapStatistics().total_heap_size > bytes) collector()({ type: 'major', flavor: 'last-resort' });
}

/**
 * Gives back what a large piece of work left: what died, where the heap of this thread has grown above so many
 * bytes, and what malloc holds for all threads, which is scattered over an arena for each and grows with every
 * layer.
 */
export function giveBackMemory(heapBytes: number): void {
  collectAbove(heapBytes);
  trimMemory();
}
