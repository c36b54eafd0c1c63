import { corrupt, exceeded, unsupported } from './errors.ts';

const frameMagic = 0xfd2fb528;
const isSkippable = (magic: number): boolean => magic >>> 4 === 0x184d2a5;

/** Bytes of the frame header after its descriptor, by the descriptor's flags (RFC 8878, 3.1.1.1). */
const dictionaryIdBytes = [0, 1, 2, 4] as const;
const contentSizeBytes = [0, 2, 4, 8] as const;

type Field = 'magic' | 'descriptor' | 'header' | 'block' | 'skip-size';

/**
 * Cuts a zstd stream at the ends of its frames, without inflating it (RFC 8878): Node's decoder
 * forgets whatever follows a frame in one and the same write. Skippable frames are dropped, a window
 * above the limit and a dictionary are refused, zeros behind the last frame are padding.
 */
export class ZstdFrames {
  readonly #windowMax: number;
  readonly #windowLogMax: number;
  readonly #held = Buffer.alloc(16);
  #heldBytes = 0;
  #field: Field = 'magic';
  #wanted = 4;
  /** Bytes of payload to pass on, or to drop, before the next field. */
  #payload = 0;
  #drop = false;
  #descriptor = 0;
  #last = false;
  #padding = false;

  constructor(windowLogMax: number) {
    this.#windowLogMax = windowLogMax;
    this.#windowMax = 2 ** windowLogMax;
  }

  /** Pieces to write to the decoder one by one, in order: none of them goes beyond the end of a frame. */
  split(chunk: Buffer): Buffer[] {
    const pieces: Buffer[] = [];
    let from = 0;
    let at = 0;
    const pass = (end: number) => {
      if (end > from) pieces.push(chunk.subarray(from, end));
      from = end;
    };
    while (at < chunk.length) {
      if (this.#padding) {
        if (chunk.subarray(at).some((byte) => byte !== 0)) throw corrupt('bytes behind the last zstd frame');
        return pieces;
      }
      if (this.#payload > 0) {
        const step = Math.min(this.#payload, chunk.length - at);
        this.#payload -= step;
        at += step;
        if (this.#drop) from = at;
        if (this.#payload === 0 && this.#endsFrame()) pass(at);
        continue;
      }
      const step = Math.min(this.#wanted - this.#heldBytes, chunk.length - at);
      chunk.copy(this.#held, this.#heldBytes, at, at + step);
      this.#heldBytes += step;
      at += step;
      // Until a magic is known to be a frame's, it is held back here and not passed on in place.
      if (this.#field === 'magic' || this.#field === 'skip-size') from = at;
      if (this.#heldBytes < this.#wanted) continue;
      const magic = this.#field === 'magic' ? Buffer.from(this.#held.subarray(0, 4)) : null;
      this.#heldBytes = 0;
      this.#take();
      if (magic !== null && this.#asDescriptor()) pieces.push(magic);
      if (this.#payload === 0 && this.#endsFrame()) pass(at);
    }
    pass(chunk.length);
    return pieces;
  }

  /** Throws when the stream ends inside a frame. */
  end(): void {
    if (this.#padding) return;
    if (this.#field !== 'magic' || this.#payload > 0) throw corrupt('the zstd stream is cut short');
    if (this.#held.subarray(0, this.#heldBytes).some((byte) => byte !== 0))
      throw corrupt('bytes behind the last zstd frame');
  }

  #asDescriptor(): boolean {
    return this.#field === 'descriptor';
  }

  #expect(field: Field, bytes: number): void {
    this.#field = field;
    this.#wanted = bytes;
  }

  /** After the payload of a frame's last block, or of a skippable frame, the next magic is due. */
  #endsFrame(): boolean {
    if (!this.#last && !this.#drop) return false;
    this.#last = false;
    this.#drop = false;
    this.#expect('magic', 4);
    return true;
  }

  #take(): void {
    const held = this.#held;
    switch (this.#field) {
      case 'magic': {
        const magic = held.readUInt32LE(0);
        if (magic === frameMagic) this.#expect('descriptor', 1);
        else if (isSkippable(magic)) this.#expect('skip-size', 4);
        else if (magic === 0) this.#padding = true;
        else throw corrupt('bytes behind the last zstd frame');
        return;
      }
      case 'skip-size': {
        this.#payload = held.readUInt32LE(0);
        this.#drop = true;
        return;
      }
      case 'descriptor':
        this.#descriptor = held.readUInt8(0);
        this.#header();
        return;
      case 'header':
        this.#window();
        this.#expect('block', 3);
        return;
      case 'block':
        this.#block(held.readUIntLE(0, 3));
        return;
    }
  }

  #header(): void {
    const flags = this.#descriptor;
    if ((flags & 0x08) !== 0) throw corrupt('a reserved bit is set in a zstd frame');
    const single = (flags & 0x20) !== 0;
    const sizeFlag = (flags >> 6) as 0 | 1 | 2 | 3;
    const sizeBytes = sizeFlag === 0 && single ? 1 : contentSizeBytes[sizeFlag];
    const bytes = (single ? 0 : 1) + dictionaryIdBytes[(flags & 3) as 0 | 1 | 2 | 3] + sizeBytes;
    this.#expect('header', bytes);
  }

  /** Window_Size by RFC 8878, 3.1.1.1.2; a single segment needs its whole content. */
  #window(): void {
    const flags = this.#descriptor;
    if ((flags & 3) !== 0) throw unsupported('the zstd stream wants a dictionary');
    const held = this.#held;
    let window: number;
    if ((flags & 0x20) === 0) {
      const base = 2 ** (10 + (held.readUInt8(0) >> 3));
      window = base + (base / 8) * (held.readUInt8(0) & 7);
    } else {
      const flag = flags >> 6;
      window =
        flag === 0
          ? held.readUInt8(0)
          : flag === 1
            ? held.readUInt16LE(0) + 256
            : flag === 2
              ? held.readUInt32LE(0)
              : Number(held.readBigUInt64LE(0));
    }
    if (window > this.#windowMax) throw exceeded('zstdWindowLogMax', this.#windowLogMax);
  }

  #block(header: number): void {
    this.#last = (header & 1) !== 0;
    const type = (header >> 1) & 3;
    if (type === 3) throw corrupt('a zstd block of a reserved type');
    this.#payload = type === 1 ? 1 : header >> 3;
    if (this.#last && (this.#descriptor & 0x04) !== 0) this.#payload += 4;
    this.#expect('block', 3);
  }
}
