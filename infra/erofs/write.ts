import fs from 'node:fs';
import type { DataArea } from './data-area.ts';
import { type DirectoryLayout, type Dirent, encodeDirectoryBlock, layOutDirectory } from './directory.ts';
import {
  alignUp,
  blockBytes,
  chunkBitsMask,
  compatMtime,
  compatSbChecksum,
  crc32c,
  fileTypes,
  formatOf,
  incompatChunkedFile,
  inodeBytes,
  layoutChunks,
  layoutInline,
  layoutPlain,
  magic,
  packDevice,
  slotBytes,
  superblockBytes,
  superblockOffset,
} from './format.ts';
import type { ImageNode } from './node.ts';
import { encodeXattrs, xattrCount } from './xattrs.ts';

/** The tail of a directory stands behind its inode up to this size; a larger one gets a block of its own. */
const inlineBytesMax = blockBytes / 2;
/** Inode number 0 means "none" to readdir(3), so the first slots stay empty. */
const firstInodeAt = 2 * slotBytes;

/** The type bits of `st_mode`. */
export const typeBits: Record<ImageNode['type'], number> = {
  fifo: 0o010000,
  char: 0o020000,
  dir: 0o040000,
  block: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
};

/** A node with its place in the metadata. */
interface Placed {
  node: ImageNode;
  /** Bytes from the start of the metadata to its inode. */
  at: number;
  number: number;
  xattrs: Buffer;
  /** Of a directory. */
  directory: DirectoryLayout<ImageNode> | null;
  /** Blocks before the metadata that belong to a directory: how many, and where the first is. */
  blocks: number;
  firstBlock: number;
  links: number;
}

/**
 * Writes the metadata behind the data, and the superblock last: an image is one pass over its layer. Data
 * that was appended for files which later entries replaced stays as waste. `uuid` is 16 bytes. The image
 * is not synced. Errors are those of write(2).
 */
export function finishImage(fd: number, area: DataArea, root: ImageNode, uuid: Buffer): { inodes: number } {
  area.pad(blockBytes);
  const placed = place(root, area.offset / blockBytes);
  const all = [...placed.values()];
  const nidOf = (node: ImageNode): number => (placed.get(node)?.at ?? 0) / slotBytes;
  for (const { directory, blocks } of all)
    for (let index = 0; index < blocks; index++) {
      area.append(encodeDirectoryBlock(directory?.blocks[index] ?? [], nidOf));
      area.pad(blockBytes);
    }
  const metaBlock = area.offset / blockBytes;
  const metaAt = area.offset;
  for (const entry of all) {
    area.zeros(metaAt + entry.at - area.offset);
    area.append(encodeInode(entry));
    area.append(entry.xattrs);
    area.append(inlineOf(entry, nidOf));
  }
  area.pad(blockBytes);
  area.flush();
  const chunked = all.some(({ node }) => node.type === 'file' && node.data.kind === 'chunks');
  const blocks = area.offset / blockBytes;
  fs.ftruncateSync(fd, area.offset);
  writeSuperblock(fd, {
    rootNid: firstInodeAt / slotBytes,
    inodes: all.length,
    blocks,
    metaBlock,
    uuid,
    chunked,
  });
  return { inodes: all.length };
}

/** Gives every inode its place: the root first, whose nid has 16 bits only, then depth first. */
function place(root: ImageNode, firstBlock: number): Map<ImageNode, Placed> {
  const placed = new Map<ImageNode, Placed>();
  let at = firstInodeAt;
  let block = firstBlock;
  const stack: { node: ImageNode; parent: ImageNode }[] = [{ node: root, parent: root }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { node, parent } = next;
    if (placed.has(node)) continue;
    const entry = describe(node, parent);
    entry.number = placed.size + 1;
    entry.at = placeFor(entry, at);
    at = entry.at + inodeBytes + entry.xattrs.length + inlineBytes(entry);
    entry.firstBlock = block;
    block += entry.blocks;
    placed.set(node, entry);
    for (const child of node.children.values()) stack.push({ node: child, parent: node });
  }
  return placed;
}

function describe(node: ImageNode, parent: ImageNode): Placed {
  const xattrs = encodeXattrs(node.xattrs);
  const placed: Placed = {
    node,
    at: 0,
    number: 0,
    xattrs,
    directory: null,
    blocks: 0,
    firstBlock: 0,
    links: node.links,
  };
  if (node.type !== 'dir') return placed;
  const entries: Dirent<ImageNode>[] = [
    { name: '.', inode: node, type: fileTypes.dir },
    { name: '..', inode: parent, type: fileTypes.dir },
  ];
  let links = 2;
  for (const [name, child] of node.children) {
    if (child.type === 'dir') links++;
    entries.push({ name, inode: child, type: fileTypes[child.type] });
  }
  const directory = layOutDirectory(entries);
  const blocks = directory.blocks.length - (directory.tailBytes <= inlineBytesMax ? 1 : 0);
  return Object.assign(placed, { directory, blocks, links });
}

/** The first slot from `at` on where what is inline does not cross a block, which the kernel refuses. */
function placeFor(entry: Placed, at: number): number {
  const start = alignUp(at, slotBytes);
  const inline = entry.node.type === 'file' ? 0 : inlineBytes(entry);
  if (inline === 0) return start;
  const head = inodeBytes + entry.xattrs.length;
  const inlineAt = start + head;
  const blockEnd = alignUp(inlineAt + 1, blockBytes);
  return inlineAt + inline <= blockEnd ? start : alignUp(blockEnd - head, slotBytes);
}

function inlineBytes({ node, directory, blocks }: Placed): number {
  if (directory !== null) return blocks < directory.blocks.length ? directory.tailBytes : 0;
  if (node.type === 'symlink') return node.target.length;
  return node.type === 'file' && node.data.kind === 'chunks' ? node.data.blocks.length * 4 : 0;
}

function inlineOf(entry: Placed, nidOf: (node: ImageNode) => number): Buffer {
  const { node, directory, blocks } = entry;
  if (inlineBytes(entry) === 0) return nothing;
  if (directory !== null) return encodeDirectoryBlock(directory.blocks[blocks] ?? [], nidOf);
  if (node.type === 'symlink' || node.data.kind !== 'chunks') return node.target;
  const list = Buffer.alloc(node.data.blocks.length * 4);
  for (const [index, block] of node.data.blocks.entries()) list.writeUInt32LE(block, index * 4);
  return list;
}

const nothing = Buffer.alloc(0);
const inode = Buffer.alloc(inodeBytes);

/** Good until the next one. */
function encodeInode(entry: Placed): Buffer {
  const { node, xattrs, number, links } = entry;
  const { layout, size, where } = dataOf(entry);
  const bytes = inode.fill(0);
  bytes.writeUInt16LE(formatOf(layout), 0);
  bytes.writeUInt16LE(xattrCount(xattrs.length), 2);
  bytes.writeUInt16LE(typeBits[node.type] | node.mode, 4);
  bytes.writeUInt32LE(size % 2 ** 32, 8);
  bytes.writeUInt32LE(Math.floor(size / 2 ** 32), 12);
  bytes.writeUInt32LE(where, 16);
  bytes.writeUInt32LE(number, 20);
  bytes.writeUInt32LE(node.uid, 24);
  bytes.writeUInt32LE(node.gid, 28);
  bytes.writeBigInt64LE(BigInt(node.mtime.sec), 32);
  bytes.writeUInt32LE(node.mtime.nsec, 40);
  bytes.writeUInt32LE(links, 44);
  return bytes;
}

/** `where` is the field `i_u`: the first block, the device, or the format of the chunks. */
function dataOf(entry: Placed): { layout: number; size: number; where: number } {
  const { node, directory, blocks, firstBlock } = entry;
  if (directory !== null) {
    const layout = blocks < directory.blocks.length ? layoutInline : layoutPlain;
    return { layout, size: directory.sizeBytes, where: firstBlock };
  }
  switch (node.type) {
    case 'symlink':
      return { layout: layoutInline, size: node.target.length, where: 0 };
    case 'char':
    case 'block':
      return { layout: layoutPlain, size: 0, where: packDevice(node.major, node.minor) };
    case 'file':
      return node.data.kind === 'run'
        ? { layout: layoutPlain, size: node.data.size, where: node.data.block }
        : { layout: layoutChunks, size: node.data.size, where: node.data.chunkBits & chunkBitsMask };
    default:
      return { layout: layoutPlain, size: 0, where: 0 };
  }
}

const uuidAt = 48;

interface Superblock {
  rootNid: number;
  inodes: number;
  blocks: number;
  metaBlock: number;
  uuid: Buffer;
  chunked: boolean;
}

function writeSuperblock(
  fd: number,
  { rootNid, inodes, blocks, metaBlock, uuid, chunked }: Superblock,
): void {
  const block = Buffer.alloc(blockBytes);
  const bytes = block.subarray(superblockOffset, superblockOffset + superblockBytes);
  bytes.writeUInt32LE(magic, 0);
  bytes.writeUInt32LE(compatSbChecksum | compatMtime, 8);
  bytes.writeUInt8(Math.log2(blockBytes), 12);
  bytes.writeUInt16LE(rootNid, 14);
  bytes.writeUInt32LE(inodes, 16);
  bytes.writeUInt32LE(blocks, 36);
  bytes.writeUInt32LE(metaBlock, 40);
  uuid.copy(bytes, uuidAt, 0, 16);
  bytes.writeUInt32LE(chunked ? incompatChunkedFile : 0, 80);
  writeChecked(fd, block);
}

/** Gives a finished image another UUID. It is not synced. Errors are those of read(2) and write(2). */
export function changeUuid(fd: number, uuid: Buffer): void {
  const block = Buffer.alloc(blockBytes);
  for (let at = 0; at < block.length; ) {
    const read = fs.readSync(fd, block, at, block.length - at, at);
    if (read === 0) throw new RangeError('the image ends within its superblock');
    at += read;
  }
  uuid.copy(block, superblockOffset + uuidAt, 0, 16);
  writeChecked(fd, block);
}

/** Writes the block of the superblock with its checksum, which is over the rest of it, with its own field zero. */
function writeChecked(fd: number, block: Buffer): void {
  block.writeUInt32LE(0, superblockOffset + 4);
  block.writeUInt32LE(crc32c(block.subarray(superblockOffset)), superblockOffset + 4);
  for (let at = 0; at < block.length; ) at += fs.writeSync(fd, block, at, block.length - at, at);
}
