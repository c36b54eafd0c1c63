/** The first block of a thin pool's metadata: struct thin_disk_superblock in drivers/md/dm-thin-metadata.c. */
export const superblockBytes = 4096;
const magic = 27022010n;
const needsCheckFlag = 1;

export interface Superblock {
  transactionId: number;
  /** Bytes of one data block. */
  blockBytes: number;
  /** The kernel met a metadata error: nothing may be written before thin_check(8). */
  needsCheck: boolean;
}

/** Reads a superblock; null when the block is none. Its checksum is the kernel's to verify. */
export function parseSuperblock(block: Buffer): Superblock | null {
  if (block.length < 344 || block.readBigUInt64LE(32) !== magic) return null;
  return {
    needsCheck: (block.readUInt32LE(4) & needsCheckFlag) !== 0,
    transactionId: Number(block.readBigUInt64LE(48)),
    blockBytes: block.readUInt32LE(336) * 512,
  };
}

export const isZero = (block: Buffer): boolean => block.every((byte) => byte === 0);
