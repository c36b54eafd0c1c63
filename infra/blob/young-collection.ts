import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { type: 'minor' }) => void;

let collect: Collect | null = null;

/**
 * Frees what has just died. What comes from the network is in buffers outside of the heap; of some 30 MiB of
 * them V8 collects the whole heap, though it hardly grew, and does so ten times for a layer. A collection of
 * what is young frees them as well, for a tenth of that.
 */
export function collectYoung(): void {
  if (collect === null) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as Collect;
    setFlagsFromString('--no-expose-gc');
  }
  collect({ type: 'minor' });
}
