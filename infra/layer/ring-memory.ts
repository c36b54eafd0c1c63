/**
 * The memory of a ring of slots: one thread inflates into it, another reads raw tar out of it without
 * copying and without an event loop. Slots are filled to the brim but for the last, so blocks of 512 bytes
 * never straddle two.
 */
export interface SharedRing {
  control: SharedArrayBuffer;
  data: SharedArrayBuffer;
  /** Two counters for whoever watches: entries begun, raw bytes taken. */
  progress: SharedArrayBuffer;
  /** The address of the state of the running sum; see ring-sum.ts. */
  sum: SharedArrayBuffer;
}

export const slotBytes = 256 * 1024;
export const slots = 16;

/** Words of `control`: slots that were filled, that were read, and that are in the sum. */
export const produced = 0;
export const consumed = 1;
export const summed = 2;
/** Whose turn with the sum it is: 1 is somebody's. */
export const summing = 3;
export const state = 4;
export const stop = 5;
// Each side sleeps on a counter that whoever changes something for it moves on first: a change
// between its last look and its sleep is then never slept through.
export const wakeReader = 6;
export const wakeWriter = 7;
/** The first of as many as there are slots: the bytes in each. */
export const lengths = 8;

export const ended = 1;
export const failed = 2;

/** Shared memory goes only when every thread has collected it, and few objects refer to much: so it is kept. */
const spare: SharedRing[] = [];
const spareMax = 8;

/** A ring, empty. Whoever takes it gives it back when both threads have left it, or lets it be. */
export function takeRing(): SharedRing {
  const used = spare.pop();
  if (used === undefined)
    return {
      control: new SharedArrayBuffer(4 * (lengths + slots)),
      data: new SharedArrayBuffer(slots * slotBytes),
      progress: new SharedArrayBuffer(16),
      sum: new SharedArrayBuffer(8),
    };
  new Int32Array(used.control).fill(0);
  new BigInt64Array(used.progress).fill(0n);
  return used;
}

/** The next layer may have the ring: no thread uses it any more. */
export function giveBack(ring: SharedRing): void {
  if (spare.length < spareMax) spare.push(ring);
}

/** Asks both threads to stop at the next byte or entry. Callable from any thread. */
export function stopRing(ring: SharedRing): void {
  const control = new Int32Array(ring.control);
  Atomics.store(control, stop, 1);
  wake(control, wakeReader);
  wake(control, wakeWriter);
}

/** Wakes one side, or lets it not fall asleep. */
export function wake(control: Int32Array, who: number): void {
  Atomics.add(control, who, 1);
  Atomics.notify(control, who);
}

/** Entries begun and raw bytes taken so far. */
export function readProgress(ring: SharedRing): { entries: number; rawBytes: number } {
  const counters = new BigInt64Array(ring.progress);
  return { entries: Number(Atomics.load(counters, 0)), rawBytes: Number(Atomics.load(counters, 1)) };
}
