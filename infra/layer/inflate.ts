import { constants, createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from 'node:zlib';
import { FlydError } from '#core/errors';
import type { Compression } from '#core/image';
import type { Limits } from '#core/limits';
import { corrupt, exceeded, unsupported } from './errors.ts';
import { ZstdFrames } from './zstd-frames.ts';

export type InflateLimits = Pick<Limits, 'inflationRatioMax' | 'inflationGraceBytes' | 'zstdWindowLogMax'>;

export interface Inflated {
  compression: Compression;
  storedBytes: number;
  rawBytes: number;
}

/** Stored bytes of a layer go in, raw bytes come out. */
export interface Inflater {
  /** Null until enough bytes were seen to know. */
  readonly compression: Compression | null;
  readonly storedBytes: number;
  readonly rawBytes: number;
  /**
   * Resolves when the chunk is inflated and `onRaw` has had all that came of it. One at a time: await
   * it before the next. The chunk may be reused afterwards.
   */
  write(chunk: Uint8Array): Promise<void>;
  /** No more bytes will come. Throws `layer_corrupt` when the stream is not whole. */
  end(): Promise<Inflated>;
  /** Frees everything, at any time; a pending write or end rejects. */
  destroy(): void;
}

const outputBytes = 1024 * 1024;
const sniffBytes = 10;

/**
 * An inflater by content, never by media type (a wrong media type is common and harmless): gzip of
 * one or more members, zstd of one or more frames with skippable ones anywhere, or none. Zeros may
 * follow the end of a compressed stream, nothing else (RFC 1952 and RFC 8878 know no garbage).
 *
 * `onRaw` gets raw bytes in order, synchronously, in views that it must not keep. Throws, through
 * write and end: `layer_corrupt`, `layer_unsupported` (xz, bzip2, lz4), `limit_exceeded` (inflation
 * ratio after the grace, zstd window), and whatever `onRaw` throws.
 */
export function createInflater(limits: InflateLimits, onRaw: (raw: Buffer) => void): Inflater {
  return new SniffingInflater(limits, onRaw);
}

interface Decoder {
  write(chunk: Buffer): Promise<void>;
  end(): Promise<void>;
  destroy(): void;
}

class SniffingInflater implements Inflater {
  compression: Compression | null = null;
  storedBytes = 0;
  rawBytes = 0;
  readonly #limits: InflateLimits;
  readonly #onRaw: (raw: Buffer) => void;
  #decoder: Decoder | null = null;
  #head: Buffer = Buffer.alloc(0);

  constructor(limits: InflateLimits, onRaw: (raw: Buffer) => void) {
    this.#limits = limits;
    this.#onRaw = onRaw;
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.storedBytes += chunk.length;
    let bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let decoder = this.#decoder;
    if (decoder === null) {
      bytes = Buffer.concat([this.#head, bytes]);
      this.#head = bytes;
      if (bytes.length < sniffBytes) return;
      decoder = this.#choose();
    }
    await decoder.write(bytes);
  }

  async end(): Promise<Inflated> {
    let decoder = this.#decoder;
    if (decoder === null) {
      const head = this.#head;
      decoder = this.#choose();
      await decoder.write(head);
    }
    await decoder.end();
    const { compression, storedBytes, rawBytes } = this;
    return { compression: compression ?? 'none', storedBytes, rawBytes };
  }

  destroy(): void {
    this.#decoder?.destroy();
  }

  #choose(): Decoder {
    this.compression = sniff(this.#head);
    this.#decoder = makeDecoder(this.compression, this.#limits, (raw) => this.#emit(raw));
    this.#head = Buffer.alloc(0);
    return this.#decoder;
  }

  #emit(raw: Buffer): void {
    this.rawBytes += raw.length;
    const { inflationGraceBytes, inflationRatioMax } = this.#limits;
    if (this.rawBytes > inflationGraceBytes && this.rawBytes > this.storedBytes * inflationRatioMax)
      throw exceeded('inflationRatioMax', inflationRatioMax);
    this.#onRaw(raw);
  }
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

function makeDecoder(kind: Compression, limits: InflateLimits, emit: (raw: Buffer) => void): Decoder {
  if (kind === 'none') return { write: async (chunk) => emit(chunk), end: async () => {}, destroy: () => {} };
  if (kind === 'gzip') return new GzipDecoder(emit);
  return new ZstdDecoder(limits.zstdWindowLogMax, emit);
}

class GzipDecoder implements Decoder {
  readonly #stream: NodeDecoder;
  #fed = 0;
  #padding = false;

  constructor(emit: (raw: Buffer) => void) {
    this.#stream = new NodeDecoder(createGunzip({ chunkSize: outputBytes }), emit);
  }

  async write(chunk: Buffer): Promise<void> {
    if (this.#padding) return assertZeros(chunk);
    this.#fed += chunk.length;
    await this.#stream.write(chunk);
    // Node stops, without an error, at a zero byte behind a member. What it left must be zeros only.
    const left = this.#fed - this.#stream.consumed;
    if (left === 0) return;
    this.#padding = true;
    assertZeros(chunk.subarray(chunk.length - left));
  }

  end = (): Promise<void> => this.#stream.end();
  destroy = (): void => this.#stream.destroy();
}

function assertZeros(bytes: Buffer): void {
  if (bytes.some((byte) => byte !== 0)) throw corrupt('bytes behind the last gzip member');
}

class ZstdDecoder implements Decoder {
  readonly #stream: NodeDecoder;
  readonly #frames: ZstdFrames;

  constructor(windowLogMax: number, emit: (raw: Buffer) => void) {
    const params = { [constants.ZSTD_d_windowLogMax]: windowLogMax };
    this.#stream = new NodeDecoder(createZstdDecompress({ chunkSize: outputBytes, params }), emit);
    this.#frames = new ZstdFrames(windowLogMax);
  }

  async write(chunk: Buffer): Promise<void> {
    for (const piece of this.#frames.split(chunk)) await this.#stream.write(piece);
  }

  async end(): Promise<void> {
    this.#frames.end();
    // A stream of skippable frames only never had a byte for the decoder: that is an empty layer.
    if (this.#stream.consumed > 0) await this.#stream.end();
    else this.#stream.destroy();
  }

  destroy = (): void => this.#stream.destroy();
}

/**
 * One of Node's zlib streams as a pair of promises, its errors as ours. Data is passed on in a microtask: by
 * then Node has sent the thread pool back to work, so inflating goes on while the last piece is hashed.
 */
class NodeDecoder {
  readonly #stream: Gunzip | ZstdDecompress;
  #failure: unknown = null;
  #ended = false;
  #wake: (() => void) | null = null;

  constructor(stream: Gunzip | ZstdDecompress, emit: (raw: Buffer) => void) {
    this.#stream = stream;
    const pass = (raw: Buffer): void => {
      if (this.#failure !== null) return;
      try {
        emit(raw);
      } catch (error) {
        this.#fail(error);
        stream.destroy();
      }
    };
    stream.on('data', (raw: Buffer) => queueMicrotask(() => pass(raw)));
    stream.on('error', (error) => this.#fail(asCorrupt(error)));
    stream.on('end', () => {
      this.#ended = true;
      this.#wake?.();
    });
    stream.on('close', () => {
      if (!this.#ended) this.#fail(corrupt('inflating was stopped'));
    });
  }

  get consumed(): number {
    return this.#stream.bytesWritten;
  }

  async write(chunk: Buffer): Promise<void> {
    this.#check();
    await new Promise<void>((resolve) => {
      this.#wake = this.#failure === null ? resolve : null;
      this.#stream.write(chunk, () => resolve());
    });
    this.#check();
  }

  async end(): Promise<void> {
    this.#check();
    if (!this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#stream.end();
      });
    }
    this.#check();
  }

  destroy(): void {
    this.#stream.destroy();
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#wake?.();
  }

  #check(): void {
    if (this.#failure !== null) throw this.#failure;
  }
}

function asCorrupt(error: Error & { code?: string }): FlydError {
  if (error instanceof FlydError) return error;
  return corrupt(`the compressed stream is damaged: ${error.message}`, null, { code: error.code ?? null });
}
