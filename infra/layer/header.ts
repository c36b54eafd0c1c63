import { printable } from '../sys/error.ts';
import { corrupt } from './errors.ts';
import { parseField } from './numbers.ts';

export type TarFormat = 'v7' | 'ustar' | 'star' | 'gnu';

/** One header block, decoded; nothing of PAX or GNU long names is in it yet. */
export interface Header {
  format: TarFormat;
  type: string;
  name: Buffer;
  link: Buffer;
  mode: number;
  uid: number | bigint;
  gid: number | bigint;
  size: number;
  mtime: number | bigint;
  major: number | bigint;
  minor: number | bigint;
}

const checksumStart = 148;
const checksumEnd = 156;

/**
 * Decodes a header block. `layer_corrupt` for a wrong checksum, a number that is none, or a size or mode
 * that is negative or beyond 2^53. `offset` is where the block stands, for the error.
 */
export function decodeHeader(block: Buffer, offset: number, before: Buffer | null): Header {
  checkSum(block, offset, before);
  const format = formatOf(block);
  const devices = format !== 'v7';
  const name = cString(block, 0, 100);
  const field = (start: number, length: number, what: string): number | bigint => {
    const value = parseField(block, start, length);
    if (value === null) throw corrupt(`${what} in the header is not a number`, name, { offset });
    return value;
  };
  const size = field(124, 12, 'the size');
  if (typeof size === 'bigint' || size < 0) throw corrupt('the size is out of range', name, { offset });
  const mode = field(100, 8, 'the mode');
  // Cut to 12 bits, a negative one would be set-uid root for everybody.
  if (typeof mode === 'bigint' || mode < 0) throw corrupt('the mode is out of range', name, { offset });
  return {
    format,
    type: String.fromCharCode(block.readUInt8(156)),
    name: withPrefix(block, format, name),
    link: cString(block, 157, 100),
    mode: mode & 0o7777,
    uid: field(108, 8, 'the uid'),
    gid: field(116, 8, 'the gid'),
    size,
    mtime: field(136, 12, 'the mtime'),
    major: devices ? field(329, 8, 'the device number') : 0,
    minor: devices ? field(337, 8, 'the device number') : 0,
  };
}

/** The bytes up to the first NUL, copied. */
function cString(block: Buffer, start: number, length: number): Buffer {
  const end = block.indexOf(0, start);
  return Buffer.from(block.subarray(start, end === -1 || end > start + length ? start + length : end));
}

function formatOf(block: Buffer): TarFormat {
  const magic = block.toString('latin1', 257, 265);
  if (magic === 'ustar  \0') return 'gnu';
  if (!magic.startsWith('ustar\0')) return 'v7';
  return block.toString('latin1', 508, 512) === 'tar\0' ? 'star' : 'ustar';
}

/** Only ustar and star keep a part of the name in the prefix; GNU has times and sparse maps there. */
function withPrefix(block: Buffer, format: TarFormat, name: Buffer): Buffer {
  if (format !== 'ustar' && format !== 'star') return name;
  const prefix = cString(block, 345, format === 'ustar' ? 155 : 131);
  return prefix.length === 0 ? name : Buffer.concat([prefix, slash, name]);
}

const slash = Buffer.from('/');

/** The sum of the block's bytes with its own field as spaces. Old Suns summed signed bytes: that is fine too. */
function checkSum(block: Buffer, offset: number, before: Buffer | null): void {
  let unsigned = 0;
  let high = 0;
  for (let i = 0; i < 512; i++) {
    const byte = i >= checksumStart && i < checksumEnd ? 0x20 : (block[i] ?? 0);
    unsigned += byte;
    if (byte >= 0x80) high++;
  }
  const stored = parseField(block, checksumStart, checksumEnd - checksumStart);
  if (stored === unsigned || stored === unsigned - 256 * high) return;
  const place = before === null ? 'at the start' : `behind the entry ${printable(before)}`;
  throw corrupt(`no tar header ${place}: the checksum is wrong`, null, { offset });
}
