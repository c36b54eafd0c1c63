import { unrecoverable } from '#core/errors';

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
export const sectorBytes = 512;
/** Metadata blocks of a thin pool are 4 KiB, whatever its block size. */
export const metaBlockBytes = 4 * KiB;

/** Rules of thin-provisioning.rst, "Setting up a fresh pool device". */
const blockMin = 64 * KiB;
const blockMax = 1 * GiB;
const metaMin = 2 * MiB;
/** More is ignored by the kernel (THIN_METADATA_MAX_SECTORS in drivers/md/dm-thin-metadata.h). */
export const metaMax = 255 * (1 << 14) * metaBlockBytes;
/** For each block of data that is mapped once; snapshots that change need more. */
const metaBytesPerBlock = 48;

export const poolDataDefault = 10 * GiB;
const lowWaterShare = 0.1;

export interface PoolSizeWish {
  /** Size of the data device. Bytes. */
  dataBytes: number;
  /** Size of the metadata device when it exists already, or is wished. Bytes. */
  metaBytes?: number | undefined;
  blockBytes?: number | undefined;
  /** In blocks, as the kernel takes it. */
  lowWaterBlocks?: number | undefined;
}

export interface PoolSize {
  /** A whole number of blocks. */
  dataBytes: number;
  metaBytes: number;
  blockBytes: number;
  lowWaterBlocks: number;
  /** What is unwise about the wish, one sentence each. */
  warnings: string[];
}

/**
 * The sizes of a new thin pool: what was wished, and for the rest what thin-provisioning.rst advises.
 * A wish that the kernel would refuse is a `usage` error; an unwise one is granted with a warning.
 */
export function poolSize(wish: PoolSizeWish): PoolSize {
  const blockBytes = wish.blockBytes ?? blockFor(wish.dataBytes);
  const legal = blockBytes >= blockMin && blockBytes <= blockMax && blockBytes % blockMin === 0;
  if (!legal) throw wrong(`the block size must be a multiple of 64 KiB up to 1 GiB, not ${blockBytes} bytes`);
  const blocks = Math.floor(wish.dataBytes / blockBytes);
  if (blocks < 1) throw wrong(`${wish.dataBytes} bytes of pool data hold no block of ${blockBytes}`);

  const needed = Math.max(metaMin, metaBytesPerBlock * blocks);
  const metaBytes = wish.metaBytes ?? Math.min(metaMax, roundUp(2 * needed, 4 * MiB));
  if (metaBytes < 16 * metaBlockBytes) throw wrong(`${metaBytes} bytes of pool metadata are too few`);
  const lowWaterBlocks = wish.lowWaterBlocks ?? Math.max(1, Math.floor(blocks * lowWaterShare));
  return {
    dataBytes: blocks * blockBytes,
    metaBytes,
    blockBytes,
    lowWaterBlocks,
    warnings: warningsOf({ metaBytes, needed, lowWaterBlocks, blocks }),
  };
}

/** The smallest block whose metadata still fits in what the kernel uses, with room for snapshots. */
function blockFor(dataBytes: number): number {
  let block = blockMin;
  while (block < blockMax && (2 * metaBytesPerBlock * dataBytes) / block > metaMax) block *= 2;
  return block;
}

function warningsOf(size: {
  metaBytes: number;
  needed: number;
  lowWaterBlocks: number;
  blocks: number;
}): string[] {
  const { metaBytes, needed, lowWaterBlocks, blocks } = size;
  const warnings: string[] = [];
  if (metaBytes < needed)
    warnings.push(
      `pool metadata of ${mib(metaBytes)} is below the ${mib(needed)} that this pool needs: when it is full, the pool turns read-only and must be repaired`,
    );
  if (metaBytes > metaMax) warnings.push(`the kernel uses only ${mib(metaMax)} of the pool metadata`);
  if (lowWaterBlocks >= blocks)
    warnings.push(
      `the low-water mark of ${lowWaterBlocks} blocks is above the pool's ${blocks}: the one event it causes comes at the start and says nothing`,
    );
  return warnings;
}

const mib = (bytes: number): string => `${(bytes / MiB).toFixed(bytes < 10 * MiB ? 1 : 0)} MiB`;
const roundUp = (value: number, step: number): number => Math.ceil(value / step) * step;
const wrong = (message: string) => unrecoverable('usage', message, { op: 'pool', subject: 'pool size' });
