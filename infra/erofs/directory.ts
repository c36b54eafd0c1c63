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
  const count = bytes.readUInt16LE(8) / direntBytes;
  const entries: { name: Buffer; nid: number; type: number }[] = [];
  for (let index = 0; index < count; index++) {
    const at = index * direntBytes;
    const start = bytes.readUInt16LE(at + 8);
    const end = index + 1 < count ? bytes.readUInt16LE(at + direntBytes + 8) : lastNameEnd(bytes, start);
    entries.push({
      nid: bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32,
      type: bytes.readUInt8(at + 10),
      name: bytes.subarray(start, end),
    });
  }
  return entries;
}

/** The last name of a block ends with the block, or with the zeros that fill it. */
function lastNameEnd(bytes: Buffer, start: number): number {
  const zero = bytes.indexOf(0, start);
  return zero === -1 ? bytes.length : zero;
}
