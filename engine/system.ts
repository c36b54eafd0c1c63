import { randomBytes } from 'node:crypto';
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

/** 48 bits of time and 80 of chance, in Crockford's base 32: sortable, and safe in paths. */
function ulid(now: number): string {
  let bits = (BigInt(now) << 80n) | BigInt(`0x${randomBytes(10).toString('hex')}`);
  let text = '';
  for (let digit = 0; digit < 26; digit++) {
    text = crockford.charAt(Number(bits & 31n)) + text;
    bits >>= 5n;
  }
  return text;
}
