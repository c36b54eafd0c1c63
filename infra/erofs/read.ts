import { damaged } from './damage.ts';
import { compareName, decodeDirectoryBlock, findName } from './directory.ts';
import {
  blockBytes,
  blocksOf,
  chunkBitsMask,
  inodeBytes,
  layoutChunks,
  layoutInline,
  layoutPlain,
  magic,
  nullBlock,
  slotBytes,
  superblockBytes,
  superblockOffset,
  unpackDevice,
} from './format.ts';
import { Pages, pageBytes } from './pages.ts';
import { decodeXattrs, type Xattr, xattrBytes } from './xattrs.ts';

/** An inode of an image. `mode` is with its type bits. */
export interface Inode {
  nid: number;
  mode: number;
  uid: number;
  gid: number;
  mtime: { sec: number; nsec: number };
  size: number;
  links: number;
  major: number;
  minor: number;
  xattrs: readonly Xattr[];
  /** Where its data is. */
  layout: number;
  where: number;
  /** Bytes of the image at which inline data, or the list of chunks, begins. */
  behind: number;
}

const typeMask = 0o170000;
const directoryType = 0o040000;
const deviceTypes: readonly number[] = [0o020000, 0o060000];

/**
 * Reads images as `finishImage` writes them (and others of uncompressed extended inodes): enough to
 * look up what lower layers show, and to copy what is linked to. Throws `volume_damaged` for what is
 * no such image, and the errors of read(2).
 */
export class ErofsImage {
  readonly #page: (index: number) => Buffer;
  readonly #metaAt: number;
  readonly #rootNid: number;

  /** Reads the image at `fd`, which stays the caller's to close. `pages` are shared with images that are read beside it. */
  constructor(fd: number, pages = new Pages()) {
    this.#page = pages.of(fd);
    const bytes = this.#read(superblockOffset, superblockBytes);
    if (bytes.length < superblockBytes || bytes.readUInt32LE(0) !== magic)
      throw damaged('the file is no EROFS image');
    this.#rootNid = bytes.readUInt16LE(14);
    this.#metaAt = bytes.readUInt32LE(40) * blockBytes;
  }

  get root(): Inode {
    return this.inode(this.#rootNid);
  }

  inode(nid: number): Inode {
    const at = this.#metaAt + nid * slotBytes;
    const bytes = this.#read(at, inodeBytes);
    if (bytes.length < inodeBytes) throw damaged('an inode lies outside of the image', { nid });
    const format = bytes.readUInt16LE(0);
    if ((format & 1) === 0) throw damaged('an inode of a form that flyd does not write', { nid });
    const xattrSize = xattrBytes(bytes.readUInt16LE(2));
    const mode = bytes.readUInt16LE(4);
    const where = bytes.readUInt32LE(16);
    const isDevice = deviceTypes.includes(mode & typeMask);
    return {
      nid,
      mode,
      uid: bytes.readUInt32LE(24),
      gid: bytes.readUInt32LE(28),
      mtime: { sec: Number(bytes.readBigInt64LE(32)), nsec: bytes.readUInt32LE(40) },
      size: bytes.readUInt32LE(8) + bytes.readUInt32LE(12) * 2 ** 32,
      links: bytes.readUInt32LE(44),
      ...(isDevice ? unpackDevice(where) : { major: 0, minor: 0 }),
      xattrs: xattrSize === 0 ? [] : decodeXattrs(this.#read(at + inodeBytes, xattrSize)),
      layout: (format >> 1) & 7,
      where,
      behind: at + inodeBytes + xattrSize,
    };
  }

  /** The inode that a directory has under a name; null for none. */
  lookup(directory: Inode, name: Buffer): Inode | null {
    if ((directory.mode & typeMask) !== directoryType) return null;
    let low = 0;
    let high = blocksOf(directory.size) - 1;
    // The first name of each block tells which block may hold the name.
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (compareName(this.#block(directory, middle), 0, name) <= 0) low = middle;
      else high = middle - 1;
    }
    const nid = findName(this.#block(directory, low), name);
    return nid === null ? null : this.inode(nid);
  }

  /** All entries of a directory, without `.` and `..`. */
  entries(directory: Inode): { name: Buffer; nid: number }[] {
    const all: { name: Buffer; nid: number }[] = [];
    for (let block = 0; block < blocksOf(directory.size); block++)
      for (const { name, nid } of decodeDirectoryBlock(this.#block(directory, block))) {
        const text = name.toString('latin1');
        if (text !== '.' && text !== '..') all.push({ name: Buffer.from(name), nid });
      }
    return all;
  }

  /** The target of a symlink, or the whole of another small file. */
  content(inode: Inode): Buffer {
    const pieces: Buffer[] = [];
    for (let at = 0; at < inode.size; at += blockBytes)
      pieces.push(Buffer.from(this.#piece(inode, at, Math.min(blockBytes, inode.size - at))));
    return Buffer.concat(pieces);
  }

  /** What of a file is data, in order; holes lie between. `at` is the offset in the image. */
  extents(inode: Inode): { offset: number; length: number; at: number }[] {
    if (inode.layout === layoutPlain)
      return inode.size === 0 ? [] : [{ offset: 0, length: inode.size, at: inode.where * blockBytes }];
    if (inode.layout !== layoutChunks) throw damaged('a file of a layout that flyd does not write');
    const chunkBytes = blockBytes * 2 ** (inode.where & chunkBitsMask);
    const extents: { offset: number; length: number; at: number }[] = [];
    const count = Math.ceil(inode.size / chunkBytes);
    for (let chunk = 0; chunk < count; chunk++) {
      const block = this.#read(inode.behind + chunk * 4, 4).readUInt32LE(0);
      const offset = chunk * chunkBytes;
      const length = Math.min(chunkBytes, inode.size - offset);
      if (block !== nullBlock) extents.push({ offset, length, at: block * blockBytes });
    }
    return extents;
  }

  #block(directory: Inode, block: number): Buffer {
    const length = Math.min(blockBytes, directory.size - block * blockBytes);
    return this.#piece(directory, block * blockBytes, length);
  }

  /** Bytes of a directory or link, inside one block. */
  #piece(inode: Inode, offset: number, length: number): Buffer {
    const tailAt = inode.size - (inode.size % blockBytes);
    const inline = inode.layout === layoutInline && offset >= tailAt;
    const at = inline ? inode.behind + (offset - tailAt) : inode.where * blockBytes + offset;
    const bytes = this.#read(at, length);
    if (bytes.length < length) throw damaged('the image is cut short', { at });
    return bytes;
  }

  #read(at: number, length: number): Buffer {
    const first = Math.floor(at / pageBytes);
    const page = this.#page(first);
    const start = at - first * pageBytes;
    if (start + length <= pageBytes || page.length < pageBytes) return page.subarray(start, start + length);
    const head = page.subarray(start);
    return Buffer.concat([head, this.#read(at + head.length, length - head.length)]);
  }
}
