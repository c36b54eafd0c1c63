import {
  consumed,
  ended,
  failed,
  lengths,
  produced,
  type SharedRing,
  slotBytes,
  slots,
  state,
  stop,
  summed,
  wake,
  wakeReader,
  wakeWriter,
} from './ring-memory.ts';
import { RingSum } from './ring-sum.ts';
import type { ByteSource } from './source.ts';

/** Thrown on both sides once `stopRing` was called. */
export class RingStopped extends Error {
  override readonly name = 'RingStopped';
}

/** Thrown to the reader when the writer gave up; the writer's own error says why. */
export class RingBroken extends Error {
  override readonly name = 'RingBroken';
}

/**
 * Whoever sleeps is woken for so many slots at once: for each one by itself, both threads would spend more on
 * falling asleep and waking up. They are far fewer than the ring has, so nobody sleeps on the rest.
 */
const wakeSlots = 4;

/** The thread that fills a ring. It ends with `end` or `fail`, and nothing may be called then. */
export class RingWriter {
  readonly #control: Int32Array;
  readonly #data: Buffer;
  readonly #sum: RingSum;
  #filled = 0;

  /** With `sum`, the bytes are hashed as well, by this thread or by the reader's. */
  constructor(ring: SharedRing, { sum }: { sum: boolean }) {
    this.#control = new Int32Array(ring.control);
    this.#data = Buffer.from(ring.data);
    this.#sum = new RingSum(ring);
    this.#sum.begin(sum);
  }

  /** The free part of the current slot, to fill in place; waits until the reader has left it. */
  reserve(): Buffer {
    const index = Atomics.load(this.#control, produced);
    for (;;) {
      const seen = Atomics.load(this.#control, wakeWriter);
      if (Atomics.load(this.#control, stop) !== 0) throw new RingStopped();
      const left = Math.min(Atomics.load(this.#control, consumed), Atomics.load(this.#control, summed));
      if (index - left < slots) break;
      if (!this.#sum.step()) Atomics.wait(this.#control, wakeWriter, seen);
    }
    const start = (index % slots) * slotBytes;
    return this.#data.subarray(start + this.#filled, start + slotBytes);
  }

  /** Says that so many bytes of the reserved room are filled. */
  commit(bytes: number): void {
    this.#filled += bytes;
    if (this.#filled === slotBytes) this.#pass();
  }

  /** After `RingStopped`: further bytes go past the ring, and only into the sum (`addToSum`). */
  leave(): void {
    this.#sum.settle();
    const start = (Atomics.load(this.#control, produced) % slots) * slotBytes;
    this.#sum.add(this.#data.subarray(start, start + this.#filled));
    this.#filled = 0;
  }

  addToSum(bytes: Buffer): void {
    this.#sum.add(bytes);
  }

  /** The SHA-256 of all bytes, in hex; no more may come. */
  sum(): string {
    if (this.#filled > 0) this.#pass();
    this.#sum.settle();
    return this.#sum.hex();
  }

  end(): void {
    if (this.#filled > 0) this.#pass();
    this.#finish(ended);
  }

  /** The reader will get `RingBroken` instead of an end. */
  fail(): void {
    this.#finish(failed);
  }

  #pass(): void {
    const index = Atomics.load(this.#control, produced);
    Atomics.store(this.#control, lengths + (index % slots), this.#filled);
    this.#filled = 0;
    Atomics.store(this.#control, produced, index + 1);
    if ((index + 1) % wakeSlots === 0) wake(this.#control, wakeReader);
  }

  #finish(how: number): void {
    Atomics.store(this.#control, state, how);
    wake(this.#control, wakeReader);
    this.#sum.close();
  }
}

/** The thread that empties a ring. */
export class RingReader implements ByteSource {
  readonly #control: Int32Array;
  readonly #data: Buffer;
  readonly #progress: BigInt64Array;
  readonly #sum: RingSum;
  #slot: Buffer | null = null;
  #at = 0;
  #taken = 0;

  constructor(ring: SharedRing) {
    this.#control = new Int32Array(ring.control);
    this.#data = Buffer.from(ring.data);
    this.#progress = new BigInt64Array(ring.progress);
    this.#sum = new RingSum(ring);
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
      if (!this.#sum.step()) Atomics.wait(this.#control, wakeReader, seen);
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
    const left = Atomics.add(this.#control, consumed, 1) + 1;
    if (left % wakeSlots === 0) wake(this.#control, wakeWriter);
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
