import type { Compression } from '#core/image';
import type { Limits } from '#core/limits';
import { DecodeError, type Decoder, gzipDecoder, zstdDecoder } from '../sys.ts';
import { corrupt, exceeded, unsupported } from './errors.ts';

export type InflateLimits = Pick<Limits, 'inflationRatioMax' | 'inflationGraceBytes' | 'zstdWindowLogMax'>;

export interface Inflated {
  compression: Compression;
  storedBytes: number;
  rawBytes: number;
}

/** Where raw bytes go: straight to their place, nothing is copied. */
export interface RawSink {
  /** Room for the next ones, at least a byte. */
  room(): Buffer;
  /** Its first bytes, which are these, are filled. */
  filled(raw: Buffer): void;
}

/**
 * Stored bytes of a layer go in, raw bytes come out. Both calls work in steps, one a room: who has an event
 * loop to serve can do so between them, who has not takes all (`toEnd`).
 */
export interface Inflater {
  /** The chunk may be reused when the last step is done. */
  write(chunk: Buffer): Generator<void, void>;
  /** No more bytes will come. Throws `layer_corrupt` when the stream is not whole. */
  end(): Generator<void, Inflated>;
  /** Frees everything; nothing else may be called then. */
  destroy(): void;
}

const sniffBytes = 10;

/**
 * An inflater by content, never by media type (a wrong media type is common and harmless): gzip of
 * one or more members, zstd of one or more frames with skippable ones anywhere, or none. Zeros may
 * follow the end of a compressed stream, nothing else (RFC 1952 and RFC 8878 know no garbage).
 *
 * Throws, in any step: `layer_corrupt`, `layer_unsupported` (xz, bzip2, lz4, a zstd dictionary),
 * `limit_exceeded` (inflation ratio after the grace, zstd window), and whatever the sink throws.
 */
export function createInflater(limits: InflateLimits, sink: RawSink): Inflater {
  return new SniffingInflater(limits, sink);
}

/** Takes all steps at once; gives what the last one does. */
export function toEnd<T>(steps: Generator<void, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

class SniffingInflater implements Inflater {
  readonly #limits: InflateLimits;
  readonly #sink: RawSink;
  #head: Buffer = Buffer.alloc(0);
  #compression: Compression | null = null;
  #decoder: Decoder | null = null;
  #padding = false;
  #storedBytes = 0;
  #rawBytes = 0;

  constructor(limits: InflateLimits, sink: RawSink) {
    this.#limits = limits;
    this.#sink = sink;
  }

  *write(chunk: Buffer): Generator<void, void> {
    this.#storedBytes += chunk.length;
    if (this.#compression !== null) return yield* this.#inflate(chunk);
    this.#head = Buffer.concat([this.#head, chunk]);
    if (this.#head.length >= sniffBytes) yield* this.#begin();
  }

  *end(): Generator<void, Inflated> {
    if (this.#compression === null) yield* this.#begin();
    if (this.#decoder?.ended === false) throw corrupt('the compressed stream is cut short');
    const [storedBytes, rawBytes] = [this.#storedBytes, this.#rawBytes];
    return { compression: this.#compression ?? 'none', storedBytes, rawBytes };
  }

  destroy(): void {
    this.#decoder?.free();
  }

  *#begin(): Generator<void, void> {
    const head = this.#head;
    this.#head = Buffer.alloc(0);
    this.#compression = sniff(head);
    if (this.#compression === 'gzip') this.#decoder = gzipDecoder();
    else if (this.#compression === 'zstd') this.#decoder = zstdDecoder(this.#limits.zstdWindowLogMax);
    yield* this.#inflate(head);
  }

  *#inflate(chunk: Buffer): Generator<void, void> {
    const decoder = this.#decoder;
    if (decoder === null) return yield* this.#copy(chunk);
    if (this.#padding) return assertZeros(chunk);
    decoder.feed(chunk);
    while (!decoder.ended || decoder.left > 0) {
      const rest = chunk.subarray(chunk.length - decoder.left);
      if (decoder.ended && rest[0] === 0) {
        this.#padding = true;
        return assertZeros(rest);
      }
      const room = this.#sink.room();
      const made = decode(decoder, room, this.#limits);
      if (made > 0) {
        this.#pass(room.subarray(0, made));
        yield;
      }
      if (made < room.length && decoder.left === 0) return;
      if (made === 0 && decoder.left === rest.length && !decoder.ended)
        throw corrupt('the compressed stream leads nowhere');
    }
  }

  *#copy(chunk: Buffer): Generator<void, void> {
    for (let at = 0; at < chunk.length; ) {
      const room = this.#sink.room();
      const bytes = chunk.copy(room, 0, at);
      at += bytes;
      this.#pass(room.subarray(0, bytes));
      yield;
    }
  }

  #pass(raw: Buffer): void {
    this.#rawBytes += raw.length;
    const { inflationGraceBytes, inflationRatioMax } = this.#limits;
    if (this.#rawBytes > inflationGraceBytes && this.#rawBytes > this.#storedBytes * inflationRatioMax)
      throw exceeded('inflationRatioMax', inflationRatioMax);
    this.#sink.filled(raw);
  }
}

/** The decoder's errors as ours. */
function decode(decoder: Decoder, room: Buffer, limits: InflateLimits): number {
  try {
    return decoder.decode(room);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    if (error.reason === 'window') throw exceeded('zstdWindowLogMax', limits.zstdWindowLogMax);
    if (error.reason === 'dictionary') throw unsupported('the zstd stream wants a dictionary');
    throw corrupt(`the compressed stream is damaged: ${error.message}`);
  }
}

function assertZeros(bytes: Buffer): void {
  if (bytes.some((byte) => byte !== 0)) throw corrupt('bytes behind the end of the compressed stream');
}

const foreign: readonly [string, Buffer][] = [
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])],
  ['lz4', Buffer.from([0x04, 0x22, 0x4d, 0x18])],
];

function sniff(head: Buffer): Compression {
  if (head.length >= 2 && head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  if (head.length >= 4) {
    const magic = head.readUInt32LE(0);
    if (magic === 0xfd2fb528 || magic >>> 4 === 0x184d2a5) return 'zstd';
  }
  for (const [name, magic] of foreign)
    if (head.subarray(0, magic.length).equals(magic)) throw unsupported(`layers in ${name} are not read`);
  if (/^BZh[1-9]1AY&SY/.test(head.toString('latin1'))) throw unsupported('layers in bzip2 are not read');
  return 'none';
}
