import type { Limits } from '#core/limits';
import { corrupt, exceeded, unsupported } from './errors.ts';
import { decodeHeader, type Header } from './header.ts';
import { epoch, parseDecimal, parseTime, type Time, timeOf } from './numbers.ts';
import { type PaxRecords, parsePax, type Xattr, xattrsOf } from './pax.ts';
import type { Report } from './report.ts';
import { type BlockReader, cutShort, paddingOf } from './source.ts';
import {
  checkSparse,
  fragmentsOf,
  type PaxSparse,
  paxSparseOf,
  readMapBlocks,
  readOldGnuMap,
  type SparseMap,
} from './sparse.ts';

export type EntryType = 'file' | 'hardlink' | 'symlink' | 'char' | 'block' | 'dir' | 'fifo';

/** One entry of the archive, with all that its headers say. Names are bytes as stored. */
export interface Entry {
  path: Buffer;
  type: EntryType;
  link: Buffer;
  mode: number;
  uid: number;
  gid: number;
  mtime: Time;
  /** Bytes of the file, holes included. */
  size: number;
  /** Bytes of data in the archive: what `body` gives. */
  stored: number;
  sparse: SparseMap | null;
  major: number;
  minor: number;
  xattrs: Xattr[];
}

export type TarLimits = Pick<Limits, 'paxBytesMax' | 'sparseFragmentsMax' | 'pathBytesMax' | 'xattrBytesMax'>;

const none: Xattr[] = [];
const idMax = 0xfffffffe; // 2^32 - 1 tells chown to leave the owner
const zeroBlock = Buffer.alloc(512);

/** What stood before an entry's own header and speaks for it. */
interface Before {
  pax: PaxRecords | null;
  longName: Buffer | null;
  longLink: Buffer | null;
}

/**
 * Reads a tar archive entry by entry: v7, ustar, star, GNU (long names, sparse) and PAX. It throws on
 * whatever it does not understand and never skips silently; case numbers are those of docs/layers.md.
 */
export class TarReader {
  readonly #blocks: BlockReader;
  readonly #limits: TarLimits;
  readonly #report: Report;
  /** Bytes of the current body that were not taken yet, and the padding behind it. */
  #left = 0;
  #padding = 0;
  #current: Buffer | null = null;

  constructor(blocks: BlockReader, limits: TarLimits, report: Report) {
    this.#blocks = blocks;
    this.#limits = limits;
    this.#report = report;
  }

  /** The next entry, or null at the end of the archive. What is left of the last one's body is passed over. */
  next(): Entry | null {
    const before: Before = { pax: null, longName: null, longLink: null };
    for (;;) {
      this.#blocks.skip(this.#left + this.#padding, this.#current);
      this.#left = 0;
      this.#padding = 0;
      const offset = this.#blocks.offset;
      const block = this.#blocks.block();
      if (block === null || isZero(block)) return this.#end(block !== null, before);
      const header = decodeHeader(block, offset, this.#current);
      this.#current = before.longName ?? before.pax?.values.get('path') ?? header.name;
      if (this.#isMeta(header, before)) continue;
      return this.#entry(header, block, before);
    }
  }

  /** The next bytes of the current entry's data, at most `max`; empty at its end. The view is good until the next call. */
  body(max: number): Buffer {
    if (this.#left === 0) return zeroBlock.subarray(0, 0);
    const piece = this.#blocks.take(Math.min(max, this.#left));
    if (piece.length === 0) throw cutShort(this.#current, this.#blocks.offset);
    this.#left -= piece.length;
    return piece;
  }

  /** Case 59: two zero blocks end an archive; one, or none, will do when nothing follows. */
  #end(sawZeros: boolean, before: Before): null {
    if (before.pax !== null || before.longName !== null || before.longLink !== null)
      throw corrupt('the archive ends behind a header that speaks for a next entry', this.#current);
    const second = sawZeros ? this.#blocks.block() : null;
    if (second !== null && !isZero(second))
      throw corrupt('data behind a single zero block', this.#current, { offset: this.#blocks.offset });
    return null;
  }

  /** Takes in a header that only speaks for others. Its own size counts, never one of PAX (case 45). */
  #isMeta(header: Header, before: Before): boolean {
    switch (header.type) {
      case 'x':
        before.pax = parsePax(this.#metaBody(header), header.name);
        return true;
      case 'g': // consumed and ignored, as all others do (case 47)
        this.#metaBody(header);
        return true;
      case 'L':
        before.longName = untilNul(this.#metaBody(header));
        return true;
      case 'K':
        before.longLink = untilNul(this.#metaBody(header));
        return true;
      case 'V':
      case 'N':
        this.#report.warn('tar_label', header.name);
        this.#bodyFollows(header.size);
        return true;
      default:
        return false;
    }
  }

  #metaBody(header: Header): Buffer {
    if (header.size > this.#limits.paxBytesMax)
      throw exceeded('paxBytesMax', this.#limits.paxBytesMax, header.name);
    const body = this.#blocks.exactly(header.size, header.name);
    this.#blocks.skip(paddingOf(header.size), header.name);
    return body;
  }

  #bodyFollows(bytes: number): void {
    this.#left = bytes;
    this.#padding = paddingOf(bytes);
  }

  #entry(header: Header, block: Buffer, { pax, longName, longLink }: Before): Entry {
    const value = (key: string) => {
      const bytes = pax?.values.get(key);
      return bytes === undefined || bytes.length === 0 ? null : bytes;
    };
    let path = longName ?? value('path') ?? header.name;
    this.#current = path;
    const sizeText = value('size')?.toString('latin1');
    const stored = sizeText === undefined ? header.size : parseDecimal(sizeText);
    if (typeof stored !== 'number') throw corrupt('the size is out of range', path);
    const sparse = pax === null ? null : paxSparseOf(pax, path);
    path = sparse?.name ?? path;
    this.#current = path;
    const link = longLink ?? value('linkpath') ?? header.link;
    for (const name of [path, link])
      if (name.length > this.#limits.pathBytesMax)
        throw exceeded('pathBytesMax', this.#limits.pathBytesMax, path);

    const type = typeOf(header, path, stored);
    if (sparse !== null && type !== 'file') throw corrupt('a sparse map on something that is no file', path);
    // Case 17: a hard link may bring a body, which is passed over; D is GNU's directory with a listing.
    this.#bodyFollows(type === 'file' || type === 'hardlink' || header.type === 'D' ? stored : 0);
    if (type === 'hardlink' && stored > 0) this.#report.warn('link_with_body', path);
    const map = type === 'file' ? this.#sparseMap(header, block, sparse, path) : null;
    return {
      path,
      type,
      link,
      mode: header.mode,
      uid: owner(value('uid'), header.uid, 'uid', path),
      gid: owner(value('gid'), header.gid, 'gid', path),
      mtime: this.#time(value('mtime'), header, path),
      size: type !== 'file' ? 0 : (map?.realSize ?? stored),
      stored: type === 'file' ? this.#left : 0,
      sparse: map,
      major: device(header.major, 0xfff, type, path),
      minor: device(header.minor, 0xfffff, type, path),
      xattrs: pax === null ? none : this.#xattrs(pax, path),
    };
  }

  /** The map, with the blocks that it takes in the archive read; what is left of the body is data. */
  #sparseMap(header: Header, block: Buffer, pax: PaxSparse | null, path: Buffer): SparseMap | null {
    const max = this.#limits.sparseFragmentsMax;
    if (header.type === 'S') {
      if (header.format !== 'gnu' || pax !== null)
        throw corrupt('a sparse file of no format, or of two at once', path);
      return checkSparse(readOldGnuMap(block, this.#blocks, max, path), this.#left, path);
    }
    if (pax === null) return null;
    if (pax.format === '0') {
      const map = { realSize: pax.realSize, fragments: fragmentsOf(pax.numbers, max, path) };
      return checkSparse(map, this.#left, path);
    }
    const { fragments, bytes } = readMapBlocks(this.#blocks, this.#left, max, path);
    this.#left -= bytes;
    return checkSparse({ realSize: pax.realSize, fragments }, this.#left, path);
  }

  /** Case 40: times before 1970 or beyond 2262 become the epoch, as in containerd, with a warning. */
  #time(pax: Buffer | null, header: Header, path: Buffer): Time {
    const time = pax === null ? timeOf(header.mtime) : parseTime(pax.toString('latin1'));
    if (time === undefined) throw corrupt('the mtime is no number', path);
    if (time !== null) return time;
    this.#report.warn('time_clamped', path);
    return epoch;
  }

  #xattrs(pax: PaxRecords, path: Buffer): Xattr[] {
    const xattrs = xattrsOf(pax, path);
    const bytes = xattrs.reduce((sum, { name, value }) => sum + name.length + value.length, 0);
    if (bytes > this.#limits.xattrBytesMax) throw exceeded('xattrBytesMax', this.#limits.xattrBytesMax, path);
    return xattrs;
  }
}

const isZero = (block: Buffer): boolean => block[0] === 0 && block.equals(zeroBlock);

/** GNU long names end at the first NUL, also with data behind it (case 48). */
function untilNul(body: Buffer): Buffer {
  const end = body.indexOf(0);
  return end === -1 ? body : body.subarray(0, end);
}

/** Cases 50 and 51. */
function typeOf(header: Header, path: Buffer, size: number): EntryType {
  switch (header.type) {
    case '0':
    case '\0':
    case '7':
      if (path.at(-1) !== 0x2f) return 'file';
      if (size > 0) throw corrupt('a name of a directory on a file with data', path);
      return 'dir';
    case 'S':
      return 'file';
    case '1':
      return 'hardlink';
    case '2':
      return 'symlink';
    case '3':
      return 'char';
    case '4':
      return 'block';
    case '5':
    case 'D':
      return 'dir';
    case '6':
      return 'fifo';
    default:
      throw unsupported('an entry of an unknown type', path, { type: header.type });
  }
}

/** Case 39: a wrong owner must not become somebody else by truncation. */
function owner(pax: Buffer | null, header: number | bigint, what: string, path: Buffer): number {
  const value = pax === null ? header : parseDecimal(pax.toString('latin1'));
  if (typeof value !== 'number' || value < 0 || value > idMax)
    throw corrupt(`the ${what} is out of range`, path);
  return value;
}

/** Case 37: Linux has 12 bits of major and 20 of minor. Other types may hold anything there. */
function device(value: number | bigint, max: number, type: EntryType, path: Buffer): number {
  if (type !== 'char' && type !== 'block') return 0;
  if (typeof value !== 'number' || value < 0 || value > max)
    throw corrupt('the device number is out of range', path);
  return value;
}
