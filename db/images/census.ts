import type { Database } from 'better-sqlite3';
import type { Census } from '#core/invariants';
import { drizzle, orm } from '../drizzle.ts';
import { auditRuns } from '../engine/audit.ts';
import { withRetry } from '../waiting.ts';
import { activations, blobs, devicesUsed, imageBlobs, images, volumes } from './schema.ts';

const { eq } = orm;

/** All that invariants speak of, as of one moment: read in one transaction, which blocks nobody. */
export function takeCensus(db: Database): Census {
  const query = drizzle(db);
  const live = db.prepare<[], { machine: string; key: string | null }>(
    'SELECT machine, key FROM runs WHERE ended_at IS NULL',
  );
  const read = db.transaction((): Census => {
    const { digest, size, state } = blobs;
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
      layers: query
        .select({ image: imageBlobs.image, digest: imageBlobs.digest })
        .from(imageBlobs)
        .innerJoin(images, eq(images.id, imageBlobs.image))
        .where(eq(images.state, 'complete'))
        .all(),
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
      blobs: query.select({ digest, size, state }).from(blobs).all(),
      devicesUsed: query.select().from(devicesUsed).all(),
      live: live.all(),
      engineFaults: auditRuns(db),
    };
  });
  return withRetry(db, () => read());
}
