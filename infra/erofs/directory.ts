import { blockBytes, direntBytes } from './format.ts';

export interface Dirent<Inode> {
  /** Bytes as latin1: such strings are ordered as their bytes are. */
  name: string;
  inode: Inode;
  type: number;
}

/** The entries of a directory, in the order and the blocks in which EROFS wants them. */
export interface DirectoryLayout<Inode> {
  blocks: readonly (readonly Dirent<Inode>[])[];
  /** Bytes of the last block that count. */
  tailBytes: number;
  sizeBytes: number;
}

/** Sorts entries by their bytes and fills blocks with as many as fit; each block stands for itself. */
export function layOutDirectory<Inode>(entries: Dirent<Inode>[]): DirectoryLayout<Inode> {
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  const blocks: Dirent<Inode>[][] = [];
  let block: Dirent<Inode>[] = [];
  let bytes = 0;
  for (const entry of entries) {
    const more = direntBytes + entry.name.length;
    if (bytes + more > blockBytes) {
      blocks.push(block);
      block = [];
      bytes = 0;
    }
    block.push(entry);
    bytes += more;
  }
  blocks.push(block);
  return { blocks, tailBytes: bytes, sizeBytes: (blocks.length - 1) * blockBytes + bytes };
}

/** One block of entries: their records first, then all names. Not padded. `nidOf` says where an inode is. */
export function encodeDirectoryBlock<Inode>(
  entries: readonly Dirent<Inode>[],
  nidOf: (inode: Inode) => number,
): Buffer {
  let nameAt = entries.length * direntBytes;
  const bytes = Buffer.alloc(nameAt + entries.reduce((sum, { name }) => sum + name.length, 0));
  entries.forEach(({ name, inode, type }, index) => {
    const at = index * direntBytes;
    const nid = nidOf(inode);
    bytes.writeUInt32LE(nid % 2 ** 32, at);
    bytes.writeUInt32LE(Math.floor(nid / 2 ** 32), at + 4);
    bytes.writeUInt16LE(nameAt, at + 8);
    bytes.writeUInt8(type, at + 10);
    bytes.write(name, nameAt, 'latin1');
    nameAt += name.length;
  });
  return bytes;
}

/** The entries of one block, `bytes` long. */
export function decodeDirectoryBlock(bytes: Buffer): { name: Buffer; nid: number; type: number }[] {
  const count = countOf(bytes);
  const entries: { name: Buffer; nid: number; type: number }[] = [];
  for (let index = 0; index < count; index++)
    entries.push({
      nid: nidOf(bytes, index),
      type: bytes.readUInt8(index * direntBytes + 10),
      name: bytes.subarray(nameStart(bytes, index), nameEnd(bytes, index, count)),
    });
  return entries;
}

/**
 * The node id under a name in one block, null for none. Looked up in place: a layer asks for each of its names in
 * each layer below, and to decode the blocks for that made most of the garbage of a pull of many layers.
 */
export function findName(bytes: Buffer, name: Buffer): number | null {
  let low = 0;
  let high = countOf(bytes) - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const order = compareName(bytes, middle, name);
    if (order === 0) return nidOf(bytes, middle);
    if (order < 0) low = middle + 1;
    else high = middle - 1;
  }
  return null;
}

/** The order of a block's entry, by its index, and a name: below 0 when the entry comes first. */
export function compareName(bytes: Buffer, index: number, name: Buffer): number {
  const end = Math.min(nameEnd(bytes, index, countOf(bytes)), bytes.length);
  return bytes.compare(name, 0, name.length, nameStart(bytes, index), end);
}

/** The first name stands behind the last record. */
const countOf = (bytes: Buffer): number => bytes.readUInt16LE(8) / direntBytes;

const nidOf = (bytes: Buffer, index: number): number =>
  bytes.readUInt32LE(index * direntBytes) + bytes.readUInt32LE(index * direntBytes + 4) * 2 ** 32;

const nameStart = (bytes: Buffer, index: number): number => bytes.readUInt16LE(index * direntBytes + 8);

/** The last name of a block ends with the block, or with the zeros that fill it. */
function nameEnd(bytes: Buffer, index: number, count: number): number {
  if (index + 1 < count) return nameStart(bytes, index + 1);
  const zero = bytes.indexOf(0, nameStart(bytes, index));
  return zero === -1 ? bytes.length : zero;
}
