import type { Database } from 'better-sqlite3';
import { once } from '../lazy.ts';
import { write } from '../open.ts';
import type { LiveRuns } from './live-runs.ts';

export interface EvictionWish {
  /** Images go, the one that was used longest ago first, until no more than this is in use; null: until none is left that may go. Bytes. */
  maxBytes: number | null;
  /** Nothing goes that was used at or after this instant, in ms since 1970; null: whenever it was used. */
  usedBefore: number | null;
}

export interface Eviction {
  evicted: { id: string; family: string }[];
  /** What the images that stay take: blobs as stored, and what they unpack to, once for each driver. */
  bytesKept: number;
}

export interface Evictions {
  /**
   * Drops complete images that nothing is activated from, that are not pinned, and that no live run may
   * rely on. What only they needed is the sweep's to remove. Decides and drops in one transaction.
   */
  evict(wish: EvictionWish): Eviction;
}

/** Decides which images have to go for others to have room. */
export function createEvictions(db: Database, live: LiveRuns): Evictions {
  // What every image takes by itself is stored with it: only layers that are several times there have to be
  // looked up, and those are found by walking along one index.
  const usage = once(() =>
    db
      .prepare<[], number>(`
        SELECT (SELECT coalesce(sum(size + raw_size), 0) FROM images) - (
          SELECT coalesce(sum((links - 1) * size + (links - drivers) * raw_size), 0) FROM (
            SELECT count(*) AS links, count(DISTINCT driver) AS drivers,
              layer.size AS size, layer.raw_size AS raw_size
            FROM image_blobs AS layer JOIN images ON images.id = layer.image
            WHERE digest IN (SELECT digest FROM image_blobs GROUP BY digest HAVING count(*) > 1)
            GROUP BY digest))`)
      .pluck(),
  );

  const candidates = once(() =>
    db.prepare<[number], { id: string; family: string }>(`
      SELECT id, family FROM images
      WHERE state = 'complete' AND NOT pinned AND used_at < ?
        AND NOT EXISTS (SELECT 1 FROM activations WHERE activations.image = images.id)
      ORDER BY used_at, id`),
  );

  /** What only this image takes: layers as stored that no other has, and unpacked ones that no other of its driver has. */
  const freedBy = once(() =>
    db
      .prepare<{ id: string }, number>(`
        SELECT coalesce(sum(
          iif(EXISTS (SELECT 1 FROM image_blobs AS o WHERE o.digest = own.digest AND o.image <> @id), 0, size) +
          iif(EXISTS (
            SELECT 1 FROM image_blobs AS o JOIN images ON images.id = o.image
            WHERE o.digest = own.digest AND o.image <> @id
              AND images.driver = (SELECT driver FROM images WHERE id = @id)), 0, raw_size)), 0)
        FROM (SELECT DISTINCT digest, size, raw_size FROM image_blobs WHERE image = @id) AS own`)
      .pluck(),
  );

  const drop = once(() => db.prepare<[string]>('DELETE FROM images WHERE id = ?'));

  return {
    evict({ maxBytes, usedBefore }) {
      return write(db, () => {
        let bytesKept = usage().get() ?? 0;
        const evicted: Eviction['evicted'] = [];
        const isEnough = (): boolean => maxBytes !== null && bytesKept <= maxBytes;
        if (isEnough()) return { evicted, bytesKept };
        const never = Number.MAX_SAFE_INTEGER;
        for (const image of candidates().all(Math.min(usedBefore ?? never, live.oldestPull() ?? never))) {
          bytesKept -= freedBy().get({ id: image.id }) ?? 0;
          drop().run(image.id);
          evicted.push(image);
          if (isEnough()) break;
        }
        return { evicted, bytesKept };
      });
    },
  };
}
