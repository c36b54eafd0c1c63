import { parentPort, workerData } from 'node:worker_threads';
import { RingReader, RingStopped, RingWriter } from '#infra/layer/ring';
import { type SharedRing, stopRing } from '#infra/layer/ring-memory';

/** One of the two threads of a ring; says at its end what it has seen of the bytes. */
export interface Peer {
  role: 'writer' | 'reader';
  ring: SharedRing;
  bytes: number;
  /** Pauses of a millisecond, in so many of a thousand pieces. */
  pauses: number;
  /** The reader stops the ring after so many bytes. */
  leaveAfter: number;
}

const { role, ring, bytes, pauses, leaveAfter } = workerData as Peer;
const nap = new Int32Array(new SharedArrayBuffer(4));
let step = 0;

function maybePause(): void {
  if ((step++ * 7919) % 1000 < pauses) Atomics.wait(nap, 0, 0, 1);
}

/** Any byte follows from its place. */
export function fill(room: Buffer, from: number): void {
  for (let at = 0; at < room.length; at++) room[at] = ((from + at) * 31 + ((from + at) >> 9)) & 0xff;
}

function write(): string {
  const writer = new RingWriter(ring, { sum: true });
  let hasLeft = false;
  for (let done = 0; done < bytes; ) {
    maybePause();
    let room: Buffer;
    try {
      room = hasLeft ? Buffer.alloc(100_000) : writer.reserve();
    } catch (error) {
      if (!(error instanceof RingStopped)) throw error;
      writer.leave();
      hasLeft = true;
      continue;
    }
    const piece = room.subarray(0, Math.min(room.length, bytes - done, 1 + ((done * 13) % 200_000)));
    fill(piece, done);
    done += piece.length;
    if (hasLeft) writer.addToSum(piece);
    else writer.commit(piece.length);
  }
  const sum = writer.sum();
  writer.end();
  return sum;
}

function read(): number {
  const reader = new RingReader(ring);
  let seen = 0;
  for (;;) {
    const piece = reader.take(64 * 1024);
    if (piece.length === 0) return seen;
    maybePause();
    const wanted = Buffer.alloc(piece.length);
    fill(wanted, seen);
    if (!piece.equals(wanted)) throw new Error(`other bytes than were written, after ${seen}`);
    seen += piece.length;
    if (seen >= leaveAfter) {
      stopRing(ring);
      return seen;
    }
  }
}

parentPort?.postMessage(role === 'writer' ? write() : read());
