import type { Database } from 'better-sqlite3';
import type { Digest } from '#core/ids';
import type { Census } from '#core/invariants';
import { drizzle } from '../drizzle.ts';
import { auditRuns } from '../engine/audit.ts';
import { withRetry } from '../waiting.ts';
import { blobRecords } from './blob-records.ts';
import { activations, devicesUsed, images, volumes } from './schema.ts';

/** All that invariants speak of; of blobs every row, to be compared with what is there (`core/blob-files.ts`). */
export type CensusTaken = Omit<Census, 'blobs'> & { blobRecords: Uint8Array };

/** As of one moment: read in one transaction, which blocks nobody. */
export function takeCensus(db: Database): CensusTaken {
  const query = drizzle(db);
  const live = db.prepare<[], { machine: string; key: string | null }>(
    'SELECT machine, key FROM runs WHERE ended_at IS NULL',
  );
  // Two sorted indexes, walked side by side.
  const brokenLayers = db.prepare<[], { image: string; digest: Digest }>(`
    SELECT image, digest FROM image_blobs JOIN images ON images.id = image_blobs.image
    WHERE images.state = 'complete' AND digest IN (
      SELECT digest FROM blobs WHERE state = 'removing' UNION ALL SELECT digest FROM (
        SELECT digest FROM image_blobs EXCEPT SELECT digest FROM blobs ORDER BY digest))`);
  const read = db.transaction((): CensusTaken => {
    const { id, driver, device } = volumes;
    return {
      images: query
        .select({
          id: images.id,
          state: images.state,
          driver: images.driver,
          chain: images.chain,
          base: images.baseLvId,
        })
        .from(images)
        .all(),
      brokenLayers: brokenLayers.all(),
      volumes: query
        .select({
          id,
          driver,
          device,
          chain: volumes.chain,
          layers: volumes.layers,
          parent: volumes.parent,
          state: volumes.state,
        })
        .from(volumes)
        .all(),
      activations: query.select().from(activations).all(),
      blobRecords: blobRecords(db),
      devicesUsed: query.select().from(devicesUsed).all(),
      live: live.all(),
      engineFaults: auditRuns(db),
    };
  });
  return withRetry(db, () => read());
}

/** Where each activation is mounted, or is to be. */
export const mountPointsOf = (db: Database): { id: string; mountPoint: string }[] =>
  withRetry(db, () =>
    drizzle(db).select({ id: activations.id, mountPoint: activations.mountPoint }).from(activations).all(),
  );
