import type { ByteSource } from './source.ts';

/**
 * A ring of slots in shared memory: one thread inflates into it, another reads raw tar out of it
 * without copying and without an event loop. Slots are filled to the brim but for the last, so blocks
 * of 512 bytes never straddle two.
 */
export const slotBytes = 256 * 1024;
const slots = 16;

const produced = 0;
const consumed = 1;
const state = 2;
const stop = 3;
// Each side sleeps on a counter that whoever changes something for it moves on first: a change
// between its last look and its sleep is then never slept through.
const wakeReader = 4;
const wakeWriter = 5;
const lengths = 6;

const ended = 1;
const failed = 2;

export interface SharedRing {
  control: SharedArrayBuffer;
  data: SharedArrayBuffer;
  /** Two counters for whoever watches: entries begun, raw bytes taken. */
  progress: SharedArrayBuffer;
}

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
    };
  new Int32Array(used.control).fill(0);
  new BigInt64Array(used.progress).fill(0n);
  return used;
}

/** The next layer may have the ring: no thread uses it any more. */
export function giveBack(ring: SharedRing): void {
  if (spare.length < spareMax) spare.push(ring);
}

/** Thrown on both sides once `stopRing` was called. */
export class RingStopped extends Error {
  override readonly name = 'RingStopped';
}

/** Thrown to the reader when the writer gave up; the writer's own error says why. */
export class RingBroken extends Error {
  override readonly name = 'RingBroken';
}

/** Asks both threads to stop at the next byte or entry. Callable from any thread. */
export function stopRing(ring: SharedRing): void {
  const control = new Int32Array(ring.control);
  Atomics.store(control, stop, 1);
  wake(control, wakeReader);
  wake(control, wakeWriter);
}

function wake(control: Int32Array, who: number): void {
  Atomics.add(control, who, 1);
  Atomics.notify(control, who);
}

export class RingWriter {
  readonly #control: Int32Array;
  readonly #data: Buffer;
  #filled = 0;

  constructor(ring: SharedRing) {
    this.#control = new Int32Array(ring.control);
    this.#data = Buffer.from(ring.data);
  }

  /** The free part of the current slot, to fill in place; waits until the reader has left it. */
  reserve(): Buffer {
    const index = Atomics.load(this.#control, produced);
    for (;;) {
      const seen = Atomics.load(this.#control, wakeWriter);
      if (Atomics.load(this.#control, stop) !== 0) throw new RingStopped();
      if (index - Atomics.load(this.#control, consumed) < slots) break;
      Atomics.wait(this.#control, wakeWriter, seen);
    }
    const start = (index % slots) * slotBytes;
    return this.#data.subarray(start + this.#filled, start + slotBytes);
  }

  /** Says that so many bytes of the reserved room are filled. */
  commit(bytes: number): void {
    this.#filled += bytes;
    if (this.#filled === slotBytes) this.#pass();
  }

  #pass(): void {
    const index = Atomics.load(this.#control, produced);
    Atomics.store(this.#control, lengths + (index % slots), this.#filled);
    this.#filled = 0;
    Atomics.store(this.#control, produced, index + 1);
    wake(this.#control, wakeReader);
  }

  end(): void {
    if (this.#filled > 0) this.#pass();
    this.#finish(ended);
  }

  /** The reader will get `RingBroken` instead of an end. */
  fail(): void {
    this.#finish(failed);
  }

  #finish(how: number): void {
    Atomics.store(this.#control, state, how);
    wake(this.#control, wakeReader);
  }
}

export class RingReader implements ByteSource {
  readonly #control: Int32Array;
  readonly #data: Buffer;
  readonly #progress: BigInt64Array;
  #slot: Buffer | null = null;
  #at = 0;
  #taken = 0;

  constructor(ring: SharedRing) {
    this.#control = new Int32Array(ring.control);
    this.#data = Buffer.from(ring.data);
    this.#progress = new BigInt64Array(ring.progress);
  }

  take(max: number): Buffer {
    if (this.#slot !== null && this.#at === this.#slot.length) this.#release();
    this.#slot ??= this.#next();
    if (this.#slot === null) return this.#data.subarray(0, 0);
    const bytes = this.#slot.subarray(this.#at, this.#at + max);
    this.#at += bytes.length;
    return bytes;
  }

  #next(): Buffer | null {
    const index = Atomics.load(this.#control, consumed);
    for (;;) {
      const seen = Atomics.load(this.#control, wakeReader);
      this.throwIfStopped();
      const how = Atomics.load(this.#control, state); // before the look at the slots: the last is passed first
      if (Atomics.load(this.#control, produced) > index) break;
      if (how === failed) throw new RingBroken();
      if (how === ended) return null;
      Atomics.wait(this.#control, wakeReader, seen);
    }
    const length = Atomics.load(this.#control, lengths + (index % slots));
    const start = (index % slots) * slotBytes;
    this.#at = 0;
    return this.#data.subarray(start, start + length);
  }

  #release(): void {
    this.#taken += this.#slot?.length ?? 0;
    Atomics.store(this.#progress, 1, BigInt(this.#taken));
    this.#slot = null;
    Atomics.add(this.#control, consumed, 1);
    wake(this.#control, wakeWriter);
  }

  /** Called between entries: leaves the count for watchers, and throws once a stop is asked for. */
  atEntry(entries: number): void {
    Atomics.store(this.#progress, 0, BigInt(entries));
    this.throwIfStopped();
  }

  throwIfStopped(): void {
    if (Atomics.load(this.#control, stop) !== 0) throw new RingStopped();
  }
}

/** Entries begun and raw bytes taken so far. */
export function readProgress(ring: SharedRing): { entries: number; rawBytes: number } {
  const counters = new BigInt64Array(ring.progress);
  return { entries: Number(Atomics.load(counters, 0)), rawBytes: Number(Atomics.load(counters, 1)) };
}
