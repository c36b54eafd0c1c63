import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';

/** What happens to the metadata of a thin pool, on the block device itself: drivers/md/dm-thin-metadata.c. */
const blockBytes = 4096;
/** In the superblock: flags, the map of data space (its bitmap's block), all little-endian. */
const at = { flags: 4, dataBitmapRoot: 64 + 16 };
const needsCheckFlag = 1;
/** SUPERBLOCK_CSUM_XOR. */
const checksumMask = 160_774;

/** CRC-32C (Castagnoli), without the last inversion, as dm_bm_checksum has it. */
function checksum(bytes: Buffer): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  return crc >>> 0;
}

function change(path: string, work: (fd: number, superblock: Buffer) => void): void {
  const fd = openSync(path, 'r+');
  try {
    const superblock = Buffer.alloc(blockBytes);
    readSync(fd, superblock, 0, blockBytes, 0);
    work(fd, superblock);
    superblock.writeUInt32LE((checksum(superblock.subarray(4)) ^ checksumMask) >>> 0, 0);
    writeSync(fd, superblock, 0, blockBytes, 0);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Sets the flag that the kernel sets after a write of metadata has failed. */
export const setNeedsCheck = (path: string): void =>
  change(path, (_, superblock) => {
    superblock.writeUInt32LE(superblock.readUInt32LE(at.flags) | needsCheckFlag, at.flags);
  });

/** The same, and wipes the block that says where the map of free data blocks is: mappings stay whole. */
export const damageSpaceMap = (path: string): void =>
  change(path, (fd, superblock) => {
    superblock.writeUInt32LE(superblock.readUInt32LE(at.flags) | needsCheckFlag, at.flags);
    const root = Number(superblock.readBigUInt64LE(at.dataBitmapRoot));
    writeSync(fd, Buffer.alloc(blockBytes), 0, blockBytes, root * blockBytes);
  });
