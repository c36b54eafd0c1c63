import type { Database } from 'better-sqlite3';
import { drizzle, orm } from '../drizzle.ts';
import { write } from '../open.ts';
import { activations, images, volumes } from './schema.ts';

const { and, eq, inArray } = orm;

export interface LostVolumes {
  /** Images that are not complete any more and were dropped: a pull makes them again. */
  images: { id: string; family: string }[];
  /** Volumes that nobody will be given any more. */
  volumes: string[];
  /** Activations that stand on a lost volume: their images stay, for them. */
  standing: string[];
}

/** What the database has to forget because the world has lost it. Loses nothing that is still there. */
export interface Repairs {
  /**
   * These volumes are gone: images that stand on one are dropped, unless something is activated from
   * them; the volumes, and those above them, are `removing` unless an image or activation keeps them.
   */
  loseVolumes(ids: readonly string[]): LostVolumes;
  /** What was written to these is gone: they are `removing`, for the next sweep to finish. Gives those that were active. */
  loseActivations(ids: readonly string[]): string[];
}

export function createRepairs(db: Database): Repairs {
  const query = drizzle(db);
  const above = db
    .prepare<[string], string>(`
      WITH RECURSIVE lost(id) AS (
        SELECT id FROM volumes WHERE id IN (SELECT value FROM json_each(?))
        UNION SELECT volumes.id FROM volumes JOIN lost ON volumes.parent = lost.id)
      SELECT id FROM lost`)
    .pluck();

  return {
    loseVolumes(ids) {
      return write(db, () => {
        const lost = above.all(JSON.stringify(ids));
        const standing = query
          .select({ id: activations.id, image: activations.image })
          .from(activations)
          .where(inArray(activations.volume, lost))
          .all();
        const kept = new Set(standing.map(({ image }) => image));
        const dropped = query
          .select({ id: images.id, family: images.family })
          .from(images)
          .where(and(inArray(images.baseLvId, lost), eq(images.state, 'complete')))
          .all()
          .filter(({ id }) => !kept.has(id));
        for (const { id } of dropped) query.delete(images).where(eq(images.id, id)).run();
        const needed = new Set(
          [
            ...query.select({ id: images.baseLvId }).from(images).all(),
            ...query.select({ id: activations.volume }).from(activations).all(),
          ].map(({ id }) => id),
        );
        const gone = lost.filter((id) => !needed.has(id));
        query.update(volumes).set({ state: 'removing' }).where(inArray(volumes.id, gone)).run();
        return { images: dropped, volumes: gone, standing: standing.map(({ id }) => id) };
      });
    },
    loseActivations(ids) {
      return write(db, () =>
        query
          .update(activations)
          .set({ state: 'removing' })
          .where(and(inArray(activations.id, [...ids]), eq(activations.state, 'active')))
          .returning({ id: activations.id })
          .all()
          .map(({ id }) => id),
      );
    },
  };
}
