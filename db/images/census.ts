import type { Database } from 'better-sqlite3';
import type { Digest } from '#core/ids';
import type { Census } from '#core/invariants';
import { drizzle } from '../drizzle.ts';
import { auditRuns } from '../engine/audit.ts';
import { withRetry } from '../waiting.ts';
import { activations, devicesUsed, images, volumes } from './schema.ts';

/** All that invariants speak of, as of one moment: read in one transaction, which blocks nobody. */
export function takeCensus(db: Database): Census {
  const query = drizzle(db);
  const live = db.prepare<[], { machine: string; key: string | null }>(
    'SELECT machine, key FROM runs WHERE ended_at IS NULL',
  );
  const allBlobs = db.prepare<[], [Digest, number | null]>(
    "SELECT digest, CASE state WHEN 'whole' THEN size END FROM blobs",
  );
  // Two sorted indexes, walked side by side.
  const brokenLayers = db.prepare<[], { image: string; digest: Digest }>(`
    SELECT image, digest FROM image_blobs JOIN images ON images.id = image_blobs.image
    WHERE images.state = 'complete' AND digest IN (
      SELECT digest FROM blobs WHERE state = 'removing' UNION ALL SELECT digest FROM (
        SELECT digest FROM image_blobs EXCEPT SELECT digest FROM blobs ORDER BY digest))`);
  const read = db.transaction((): Census => {
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
      blobs: new Map(allBlobs.raw().iterate()),
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
