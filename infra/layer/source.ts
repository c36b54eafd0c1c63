import { corrupt } from './errors.ts';

/** Raw bytes of a layer, pulled synchronously. */
export interface ByteSource {
  /** The next bytes: at least one, at most `max`; empty at the end. The view is good until the next call. */
  take(max: number): Buffer;
}

/** A source over bytes in memory, in pieces of at most `step`. */
export function sourceOf(bytes: Buffer, step = bytes.length): ByteSource {
  let at = 0;
  return {
    take: (max) => {
      const piece = bytes.subarray(at, at + Math.min(max, step));
      at += piece.length;
      return piece;
    },
  };
}

export const blockBytes = 512;

/** Reads a source by blocks of 512 bytes and by counted bodies, and knows how far it is. */
export class BlockReader {
  readonly #source: ByteSource;
  readonly #held = Buffer.alloc(blockBytes);
  /** Bytes taken so far. */
  offset = 0;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  take(max: number): Buffer {
    const bytes = this.#source.take(max);
    this.offset += bytes.length;
    return bytes;
  }

  /** The next whole block, good until the next call, or null at the end. `layer_corrupt` when it is cut short. */
  block(): Buffer | null {
    const first = this.take(blockBytes);
    if (first.length === blockBytes) return first;
    if (first.length === 0) return null;
    let filled = first.copy(this.#held);
    while (filled < blockBytes) {
      const more = this.take(blockBytes - filled);
      if (more.length === 0) throw corrupt('the archive ends inside a block', null, { offset: this.offset });
      filled += more.copy(this.#held, filled);
    }
    return this.#held;
  }

  /** Exactly `bytes` bytes, copied. The caller has checked the figure against a limit. */
  exactly(bytes: number, entry: Buffer | null): Buffer {
    const all = Buffer.allocUnsafe(bytes);
    for (let filled = 0; filled < bytes; ) {
      const piece = this.take(bytes - filled);
      if (piece.length === 0) throw cutShort(entry, this.offset);
      filled += piece.copy(all, filled);
    }
    return all;
  }

  skip(bytes: number, entry: Buffer | null): void {
    for (let left = bytes; left > 0; ) {
      const piece = this.take(left);
      if (piece.length === 0) throw cutShort(entry, this.offset);
      left -= piece.length;
    }
  }
}

export const cutShort = (entry: Buffer | null, offset: number) =>
  corrupt('the archive ends inside the body of an entry', entry, { offset });

/** Bytes from a body's end to the next block. */
export const paddingOf = (bytes: number): number => (blockBytes - (bytes % blockBytes)) % blockBytes;
