/**
 * The on-disk format of EROFS, as far as flyd writes and reads it: uncompressed files, extended inodes,
 * inline xattrs, 4 KiB blocks (kernel: Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h, whose
 * names are used here). Numbers are little-endian. Linux 5.15 and later mount it.
 */
export const blockBits = 12;
export const blockBytes = 1 << blockBits;

export const superblockOffset = 1024;
export const superblockBytes = 128;
export const magic = 0xe0f5e1e2;

/** The superblock carries a checksum; inodes carry their mtime. */
export const compatSbChecksum = 0x1;
export const compatMtime = 0x2;
/** Files with holes are lists of chunks (Linux 5.15). */
export const incompatChunkedFile = 0x4;

/** A nid counts slots of 32 bytes from the start of the metadata. */
export const slotBytes = 32;
export const inodeBytes = 64;

/** `i_format`: bit 0 says that the inode is an extended one, bits 1 to 3 where the data is. */
export const layoutPlain = 0;
export const layoutInline = 2;
export const layoutChunks = 4;
export const formatOf = (layout: number): number => (layout << 1) | 1;

/** A chunk that is a hole. */
export const nullBlock = 0xffffffff;
/** The low bits of a chunk format: log2 of the blocks in a chunk. */
export const chunkBitsMask = 0x1f;

export const direntBytes = 12;
export const xattrHeaderBytes = 12;
export const xattrEntryBytes = 4;

/** `d_type` of directory entries. */
export const fileTypes = { file: 1, dir: 2, char: 3, block: 4, fifo: 5, symlink: 7 } as const;

/** The prefixes that xattr names are stored without, by their index; the ACLs are prefixes whole. */
export const xattrPrefixes: readonly (readonly [index: number, prefix: string])[] = [
  [2, 'system.posix_acl_access'],
  [3, 'system.posix_acl_default'],
  [1, 'user.'],
  [4, 'trusted.'],
  [6, 'security.'],
];

/** Device numbers as the kernel's new_encode_dev packs them. */
export const packDevice = (major: number, minor: number): number =>
  ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xff) << 12)) >>> 0;
export const unpackDevice = (packed: number): { major: number; minor: number } => ({
  major: (packed >>> 8) & 0xfff,
  minor: (packed & 0xff) | ((packed >>> 12) & 0xfff00),
});

export const alignUp = (value: number, to: number): number => Math.ceil(value / to) * to;
export const blocksOf = (bytes: number): number => Math.ceil(bytes / blockBytes);

const crcTable = new Uint32Array(256).map((_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

/** CRC-32C as the kernel's crc32c(): started with all ones, not inverted at the end. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ (crcTable[(crc ^ byte) & 0xff] ?? 0);
  return crc >>> 0;
}
