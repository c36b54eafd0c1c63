import fs from 'node:fs';
import { beginWriteback } from '../sys.ts';
import { alignUp, blockBytes, nullBlock } from './format.ts';
import type { FileData } from './node.ts';

const bufferBytes = 1024 * 1024;
/** An image is synced at its end: what is written by then need not be waited for. */
const writebackBytes = 8 * 1024 * 1024;
/** More chunks than these in one file, and they are made larger: each costs four bytes of metadata. */
const chunksMax = 16 * 1024;

/** Gives the next bytes of a file: at least one, at most `max`; the view is good until the next call. */
export type Body = (max: number) => Buffer;

/**
 * The part of an image that grows as a layer streams in: the data of its files one after the other, each
 * from a block boundary on. Small files are gathered, so that a thousand of them cost one write(2).
 */
export class DataArea {
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafe(bufferBytes);
  #filled = 0;
  /** Bytes of the image that are written, or skipped as holes. */
  #written: number;
  /** Up to here the kernel was asked to write the image out. */
  #begun: number;

  /** Appends to the image at `fd` from `offset` on, a multiple of the block size. */
  constructor(fd: number, offset: number) {
    this.#fd = fd;
    this.#written = offset;
    this.#begun = offset;
  }

  /** Where the next byte goes. */
  get offset(): number {
    return this.#written + this.#filled;
  }

  append(bytes: Uint8Array): void {
    if (bytes.length >= bufferBytes) {
      this.flush();
      this.#write(bytes);
      return;
    }
    if (this.#filled + bytes.length > bufferBytes) this.flush();
    this.#buffer.set(bytes, this.#filled);
    this.#filled += bytes.length;
  }

  /** Zeros, up to the next multiple of `to` bytes. */
  pad(to: number): void {
    this.zeros(alignUp(this.offset, to) - this.offset);
  }

  /** Zeros; many of them become a hole of the image itself. */
  zeros(count: number): void {
    if (count > bufferBytes / 2) {
      this.flush();
      this.#written += count;
      return;
    }
    if (this.#filled + count > bufferBytes) this.flush();
    this.#buffer.fill(0, this.#filled, this.#filled + count);
    this.#filled += count;
  }

  /** Writes what is gathered. Errors are those of write(2). */
  flush(): void {
    const { length } = this.#buffer.subarray(0, this.#filled);
    this.#filled = 0;
    this.#write(this.#buffer.subarray(0, length));
  }

  /** Appends a file without holes. */
  file(size: number, body: Body): FileData {
    const block = this.offset / blockBytes;
    if (size === 0) return { kind: 'run', size, block: 0 };
    this.#take(size, body);
    this.pad(blockBytes);
    return { kind: 'run', size, block };
  }

  /**
   * Appends a file with holes: only the chunks that hold data take room. `fragments` ascend and do not
   * overlap; `body` gives their bytes in order.
   */
  sparseFile(size: number, fragments: readonly { offset: number; length: number }[], body: Body): FileData {
    let chunkBits = 0;
    while (size / (blockBytes << chunkBits) > chunksMax) chunkBits++;
    const chunkBytes = blockBytes * 2 ** chunkBits;
    const blocks = new Array<number>(Math.ceil(size / chunkBytes)).fill(nullBlock);
    let open = -1;
    let start = 0;
    const enter = (chunk: number): void => {
      if (open >= 0) this.#closeChunk(start, Math.min(chunkBytes, size - open * chunkBytes));
      open = chunk;
      start = this.offset;
      if (chunk >= 0) blocks[chunk] = start / blockBytes;
    };
    for (const { offset, length } of fragments)
      for (let at = offset; at < offset + length; ) {
        const chunk = Math.floor(at / chunkBytes);
        if (chunk !== open) enter(chunk);
        this.zeros(start + (at - chunk * chunkBytes) - this.offset);
        const until = Math.min(offset + length, (chunk + 1) * chunkBytes);
        this.#take(until - at, body);
        at = until;
      }
    enter(-1);
    return { kind: 'chunks', size, chunkBits, blocks };
  }

  #closeChunk(start: number, bytes: number): void {
    this.zeros(start + bytes - this.offset);
    this.pad(blockBytes);
  }

  #take(size: number, body: Body): void {
    for (let left = size; left > 0; ) {
      const piece = body(Math.min(left, bufferBytes));
      this.append(piece);
      left -= piece.length;
    }
  }

  #write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; )
      at += fs.writeSync(this.#fd, bytes, at, bytes.length - at, this.#written + at);
    this.#written += bytes.length;
    if (this.#written - this.#begun < writebackBytes) return;
    beginWriteback(this.#fd, this.#begun, this.#written - this.#begun);
    this.#begun = this.#written;
  }
}
