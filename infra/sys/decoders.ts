import { addressOf, bindOwn, textAt } from './libc.ts';

/**
 * The decoders that Node carries within itself, called with memory of the caller's: Node's own streams make a
 * new buffer for every piece that they give, which costs more garbage collection than inflating does work.
 */
export interface Decoder {
  /** Gives it the bytes to decode next. They must not change until they are used up. */
  feed(input: Buffer): void;
  /** Bytes of the input that are not used yet. */
  readonly left: number;
  /** Decodes into `room`, at most to the end of a member or frame; gives the bytes made. */
  decode(room: Buffer): number;
  /** The last call ended a member or frame, and nothing of another was seen since. */
  readonly ended: boolean;
  /** Frees its memory; nothing else may be called then. May be called again. */
  free(): void;
}

/** What a decoder says of bytes that it cannot read; `reason` is null where they are just damaged. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
  readonly reason: 'window' | 'dictionary' | null;

  constructor(message: string, reason: DecodeError['reason'] = null) {
    super(message);
    this.reason = reason;
  }
}

/** z_stream of zlib.h, for processors of 64 bits. */
const zStreamBytes = 112;
const zAt = { nextIn: 0, availIn: 8, nextOut: 24, availOut: 32, message: 48 };
/** Gzip with a window of up to 32 KiB. */
const gzipWindowBits = 15 + 16;
const Z_STREAM_END = 1;
const Z_BUF_ERROR = -5;

const inflateInit = bindOwn('inflateInit2_', 'int', ['ptr', 'int', 'ptr', 'int']);
const inflate = bindOwn('inflate', 'int', ['ptr', 'int']);
const inflateReset = bindOwn('inflateReset', 'int', ['ptr']);
const inflateEnd = bindOwn('inflateEnd', 'int', ['ptr']);

/** A decoder of gzip members (RFC 1952). Its errors are DecodeError. */
export function gzipDecoder(): Decoder {
  const stream = Buffer.alloc(zStreamBytes);
  // zlib compares the first digit of its version, and the size.
  const code = inflateInit(stream, gzipWindowBits, Buffer.from('1\0'), zStreamBytes);
  if (code !== 0) throw new DecodeError(`inflateInit2 gives ${code}`);
  let input: Buffer = stream.subarray(0, 0);
  let ended = true;
  let open = true;
  return {
    get left() {
      return stream.readUInt32LE(zAt.availIn);
    },
    get ended() {
      return ended;
    },
    feed(bytes) {
      input = bytes;
      stream.writeBigUInt64LE(addressOf(input), zAt.nextIn);
      stream.writeUInt32LE(input.length, zAt.availIn);
    },
    decode(room) {
      if (ended) inflateReset(stream);
      stream.writeBigUInt64LE(addressOf(room), zAt.nextOut);
      stream.writeUInt32LE(room.length, zAt.availOut);
      const result = inflate(stream, 0) as number;
      ended = result === Z_STREAM_END;
      if (result < 0 && result !== Z_BUF_ERROR)
        throw new DecodeError(textAt(stream.readBigUInt64LE(zAt.message)) || `zlib gives ${result}`);
      return room.length - stream.readUInt32LE(zAt.availOut);
    },
    free() {
      if (open) inflateEnd(stream);
      open = false;
    },
  };
}

/** ZSTD_d_windowLogMax of zstd.h. */
const windowLogMaxParameter = 100;
/** Of zstd_errors.h. */
const reasons: Record<number, DecodeError['reason']> = { 16: 'window', 32: 'dictionary' };

const zstdCreate = bindOwn('ZSTD_createDCtx', 'ptr', []);
const zstdFree = bindOwn('ZSTD_freeDCtx', 'size', ['long']);
const zstdSet = bindOwn('ZSTD_DCtx_setParameter', 'size', ['long', 'int', 'int']);
const zstdDecode = bindOwn('ZSTD_decompressStream', 'size', ['long', 'ptr', 'ptr']);
const zstdErrorName = bindOwn('ZSTD_getErrorName', 'text', ['long']);

/** A decoder of zstd frames (RFC 8878), skippable ones included. Its errors are DecodeError. */
export function zstdDecoder(windowLogMax: number): Decoder {
  const context = zstdCreate() as number | bigint;
  check(zstdSet(context, windowLogMaxParameter, windowLogMax));
  const from = bufferRecord();
  const to = bufferRecord();
  let ended = true;
  let open = true;
  return {
    get left() {
      return from.left();
    },
    get ended() {
      return ended;
    },
    feed: from.set,
    decode(room) {
      to.set(room);
      ended = check(zstdDecode(context, to.record, from.record)) === 0;
      return room.length - to.left();
    },
    free() {
      if (open) zstdFree(context);
      open = false;
    },
  };
}

/** ZSTD_inBuffer and ZSTD_outBuffer of zstd.h, which are alike: an address, a size, a position. */
function bufferRecord() {
  // A little longer than needed: see `addressOf`.
  const record = Buffer.alloc(128);
  let bytes: Buffer = record.subarray(0, 0);
  return {
    record,
    set(to: Buffer): void {
      bytes = to;
      record.writeBigUInt64LE(addressOf(bytes), 0);
      record.writeBigUInt64LE(BigInt(bytes.length), 8);
      record.writeBigUInt64LE(0n, 16);
    },
    left: (): number => bytes.length - Number(record.readBigUInt64LE(16)),
  };
}

/** A zstd function gives an error as a size close to the largest one. */
function check(result: unknown): number {
  const size = Number(result);
  if (size < 0) throw new DecodeError(String(zstdErrorName(size)), reasons[-size] ?? null);
  return size;
}
