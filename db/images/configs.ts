import type { Database } from 'better-sqlite3';
import type { Digest } from '#core/ids';
import { drizzle, orm } from '../drizzle.ts';
import { write } from '../open.ts';
import { joinWrite } from './joined.ts';
import type { LiveRuns } from './live-runs.ts';
import { imageConfigs } from './schema.ts';

const { eq } = orm;

export interface Configs {
  /** Keeps the text of a config under its digest; says that a live run relies on it from now on. */
  keep(digest: Digest, content: string, now: number): void;
  /** Says so of one that is there; false when it is not (any more). */
  touch(digest: Digest, now: number): boolean;
  find(digest: Digest): string | null;
}

/** The rows of `image_configs`: what OCI images say of how they are to be run. */
export function createConfigs(db: Database, live: LiveRuns): Configs {
  const query = drizzle(db);
  return {
    keep(digest, content, now) {
      write(db, () => {
        const usedAt = live.stamp(now);
        query
          .insert(imageConfigs)
          .values({ digest, content, usedAt })
          .onConflictDoUpdate({ target: imageConfigs.digest, set: { usedAt } })
          .run();
      });
    },
    touch: (digest, now) =>
      joinWrite(db, () => {
        const set = { usedAt: live.stamp(now) };
        return query.update(imageConfigs).set(set).where(eq(imageConfigs.digest, digest)).run().changes > 0;
      }),
    find: (digest) =>
      query.select().from(imageConfigs).where(eq(imageConfigs.digest, digest)).get()?.content ?? null,
  };
}
