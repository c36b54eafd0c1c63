import { randomFillSync } from 'node:crypto';
import type { System } from './types.ts';

/** Longer delays overflow Node's timers; a timer that fires early is simply armed again. */
const timerMsMax = 2 ** 31 - 1;

/** Real time and real chance. The one file of the engine that may ask for either. */
export const realSystem: System = {
  now: () => Date.now(),
  setTimer(run, delayMs) {
    // Node rounds a delay of nothing up to a millisecond, which is ten commits.
    if (delayMs <= 0) {
      const handle = setImmediate(run);
      return { cancel: () => clearImmediate(handle) };
    }
    const handle = setTimeout(run, Math.min(delayMs, timerMsMax));
    return { cancel: () => clearTimeout(handle) };
  },
  random: () => Math.random(),
  newId: () => ulid(Date.now()),
};

const crockford = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
/** Random bytes for many ids at once: asking for ten costs as much as asking for a page. */
const pool = Buffer.alloc(4096);
let used = pool.length;

/** 48 bits of time and 80 of chance, in Crockford's base 32: sortable, and safe in paths. */
function ulid(now: number): string {
  let text = '';
  for (let digit = 0, rest = now; digit < 10; digit++, rest = Math.floor(rest / 32))
    text = crockford.charAt(rest % 32) + text;
  if (used + 16 > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  // Five bits of each byte.
  for (let digit = 0; digit < 16; digit++) text += crockford.charAt((pool[used++] ?? 0) & 31);
  return text;
}
