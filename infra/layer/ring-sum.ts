import { sha256Free, sha256Hex, sha256New, sha256Update } from '../sys.ts';
import {
  lengths,
  produced,
  type SharedRing,
  slotBytes,
  slots,
  summed,
  summing,
  wake,
  wakeWriter,
} from './ring-memory.ts';

/** More slots than a ring ever passes: there is no sum, or no more. */
const noSum = 2 ** 31 - 1;

/**
 * The SHA-256 of what goes through a ring, made by whichever thread has nothing better to do: the reader's
 * while it waits for bytes, the writer's while it waits for room. A layer is as slow as the slower of its
 * two threads, and which that is depends on the driver. Slots are summed in their order, each in one turn;
 * until it is, a slot is not filled again.
 */
export class RingSum {
  readonly #control: Int32Array;
  readonly #data: Buffer;
  readonly #state: BigInt64Array;

  constructor(ring: SharedRing) {
    this.#control = new Int32Array(ring.control);
    this.#data = Buffer.from(ring.data);
    this.#state = new BigInt64Array(ring.sum);
  }

  /** By the writer, before the first slot. The others are by the writer too, but for `step`. */
  begin(wanted: boolean): void {
    if (wanted) Atomics.store(this.#state, 0, sha256New());
    else Atomics.store(this.#control, summed, noSum);
  }

  /** Sums the next slot if there is one and it is nobody else's turn. Says whether it did. */
  step(): boolean {
    if (this.#isSettled() || !this.#takeTurn()) return false;
    try {
      const index = Atomics.load(this.#control, summed);
      if (this.#isSettled()) return false;
      const start = (index % slots) * slotBytes;
      const length = Atomics.load(this.#control, lengths + (index % slots));
      this.add(this.#data.subarray(start, start + length));
      Atomics.store(this.#control, summed, index + 1);
      return true;
    } finally {
      this.#leaveTurn();
    }
  }

  /** Sums what was passed so far. */
  settle(): void {
    for (;;) {
      const seen = Atomics.load(this.#control, wakeWriter);
      if (this.#isSettled()) return;
      if (!this.step() && !this.#isSettled()) Atomics.wait(this.#control, wakeWriter, seen);
    }
  }

  /** Sums bytes that go through no slot; settled. */
  add(bytes: Buffer): void {
    sha256Update(Atomics.load(this.#state, 0), bytes);
  }

  /** Settled. */
  hex(): string {
    return sha256Hex(Atomics.load(this.#state, 0));
  }

  /** Frees the state, once nobody is at it. May be called again. */
  close(): void {
    for (;;) {
      const seen = Atomics.load(this.#control, wakeWriter);
      if (this.#takeTurn()) break;
      Atomics.wait(this.#control, wakeWriter, seen);
    }
    if (Atomics.exchange(this.#control, summed, noSum) !== noSum)
      sha256Free(Atomics.exchange(this.#state, 0, 0n));
    this.#leaveTurn();
  }

  #isSettled(): boolean {
    return Atomics.load(this.#control, summed) >= Atomics.load(this.#control, produced);
  }

  #takeTurn(): boolean {
    return Atomics.compareExchange(this.#control, summing, 0, 1) === 0;
  }

  #leaveTurn(): void {
    Atomics.store(this.#control, summing, 0);
    wake(this.#control, wakeWriter);
  }
}
