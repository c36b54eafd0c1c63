import type { Database } from 'better-sqlite3';
import { drizzle, orm } from '../drizzle.ts';
import { write } from '../open.ts';
import type { LiveRuns } from './live-runs.ts';
import { activations, imageBlobs, images } from './schema.ts';

const { and, asc, eq, lt, notExists, sql } = orm;

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

interface Held {
  image: string;
  driver: string;
  digest: string;
  size: number;
  rawSize: number;
}

/** Decides which images have to go for others to have room. */
export function createEvictions(db: Database, live: LiveRuns): Evictions {
  const query = drizzle(db);

  const held = (): Held[] =>
    query
      .select({
        image: imageBlobs.image,
        driver: images.driver,
        digest: imageBlobs.digest,
        size: imageBlobs.size,
        rawSize: imageBlobs.rawSize,
      })
      .from(imageBlobs)
      .innerJoin(images, eq(images.id, imageBlobs.image))
      .all();

  const candidates = (usedBefore: number): { id: string; family: string }[] => {
    const active = query.select({ one: sql`1` }).from(activations).where(eq(activations.image, images.id));
    return query
      .select({ id: images.id, family: images.family })
      .from(images)
      .where(
        and(
          eq(images.state, 'complete'),
          eq(images.pinned, false),
          lt(images.usedAt, usedBefore),
          notExists(active),
        ),
      )
      .orderBy(asc(images.usedAt), asc(images.id))
      .all();
  };

  return {
    evict({ maxBytes, usedBefore }) {
      return write(db, () => {
        const usage = new Usage(held());
        const evicted: Eviction['evicted'] = [];
        const never = Number.MAX_SAFE_INTEGER;
        for (const image of candidates(Math.min(usedBefore ?? never, live.oldestPull() ?? never))) {
          if (maxBytes !== null && usage.bytes <= maxBytes) break;
          query.delete(images).where(eq(images.id, image.id)).run();
          usage.drop(image.id);
          evicted.push(image);
        }
        return { evicted, bytesKept: usage.bytes };
      });
    },
  };
}

/** What images take together: what several share counts once. */
class Usage {
  bytes = 0;
  readonly #users = new Map<string, number>();
  readonly #parts = new Map<string, [part: string, bytes: number][]>();

  constructor(held: readonly Held[]) {
    for (const { image, driver, digest, size, rawSize } of held)
      for (const [part, bytes] of [
        [digest, size],
        [`${driver} ${digest}`, rawSize],
      ] as [string, number][]) {
        const users = this.#users.get(part) ?? 0;
        if (users === 0) this.bytes += bytes;
        this.#users.set(part, users + 1);
        const parts = this.#parts.get(image) ?? [];
        parts.push([part, bytes]);
        this.#parts.set(image, parts);
      }
  }

  drop(image: string): void {
    for (const [part, bytes] of this.#parts.get(image) ?? []) {
      const users = (this.#users.get(part) ?? 0) - 1;
      this.#users.set(part, users);
      if (users === 0) this.bytes -= bytes;
    }
  }
}
