import type { Settings } from '#infra/config';
import type { PoolOptions } from '#infra/volumes/index';

/** What the devmapper driver is told of the pool. */
export const poolOptionsOf = (settings: Settings): PoolOptions => ({
  adopt: settings.pool ?? undefined,
  dataDevice: settings.poolData ?? undefined,
  metaDevice: settings.poolMeta ?? undefined,
  name: settings.poolName ?? undefined,
  dataBytes: settings.poolSize ?? undefined,
  metaBytes: settings.poolMetaSize ?? undefined,
  blockBytes: settings.blockSize ?? undefined,
  lowWaterBlocks: settings.lowWater ?? undefined,
  skipBlockZeroing: settings.skipBlockZeroing || undefined,
  volumeBytes: settings.volumeSize ?? undefined,
  fs: settings.fs ?? undefined,
  waitMs: settings.timeouts.poolMs,
});
