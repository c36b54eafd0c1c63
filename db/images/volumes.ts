import type { Database } from 'better-sqlite3';
import { recoverable, unrecoverable } from '#core/errors';
import type { ChainId } from '#core/ids';
import type { DriverName } from '#core/image';
import { drizzle, orm } from '../drizzle.ts';
import { write } from '../open.ts';
import { joinWrite } from './joined.ts';
import type { LiveRuns } from './live-runs.ts';
import { devicesUsed, volumes } from './schema.ts';

const { and, eq, inArray } = orm;

export type VolumeRow = typeof volumes.$inferSelect;

/** A volume with all below it, as a driver wants it. */
export interface VolumeTree {
  id: string;
  parent: VolumeTree | null;
  device: number | null;
  sizeBytes: number | null;
}

export interface NewVolume {
  id: string;
  driver: DriverName;
  /** The chain IDs of every prefix; the last is the volume's own. */
  chains: readonly ChainId[];
  /** The id of the sealed volume that it starts from. */
  parent: string | null;
  device: number | null;
  sizeBytes: number | null;
  effect: string;
}

/** What a volume for a chain would be made of, as the database stands. */
export type VolumePlan =
  /** Chosen by this effect before. */
  | { kind: 'chosen'; volume: VolumeRow }
  /** A sealed volume of that very chain. */
  | { kind: 'sealed'; volume: VolumeRow }
  /** One has to be made, from this parent or from nothing. */
  | { kind: 'new'; parent: VolumeRow | null };

export interface Volumes {
  /** Looks only. */
  plan(wanted: Pick<NewVolume, 'driver' | 'chains' | 'effect'>): VolumePlan;
  /** Says that a live run relies on a sealed volume; false when it is sealed no more. */
  touch(id: string, now: number): boolean;
  /**
   * Commits a new volume, its device number spent for ever in the same transaction. Null when the
   * database has moved on since `plan` (the chain is sealed by now, the parent or the number is gone):
   * plan again. The same effect always gets the same row.
   */
  choose(wanted: NewVolume, now: number): VolumeRow | null;
  find(id: string): VolumeRow | null;
  /** The sealed volume of a chain. */
  sealed(driver: DriverName, chain: ChainId): VolumeRow | null;
  /** The volume with those below it. `volume_missing` when there is no row of it. */
  tree(id: string): VolumeTree;
  /** It exists in the world now. */
  created(id: string): void;
  /**
   * It is whole and nobody writes to it again. When another volume of that chain was sealed first,
   * that one is the result, and this one is `removing` from now on.
   */
  seal(id: string, now: number): VolumeRow;
  /** It is about to vanish from the world; false for a sealed one, which others may rely on. */
  discard(id: string): boolean;
  /** It has vanished from the world. */
  forget(id: string): void;
  isDeviceUsed(driver: DriverName, device: number): boolean;
  list(): VolumeRow[];
}

/** The rows of `volumes` and `devices_used`. */
export function createVolumes(db: Database, live: LiveRuns): Volumes {
  const query = drizzle(db);

  const find = (id: string): VolumeRow | null =>
    query.select().from(volumes).where(eq(volumes.id, id)).get() ?? null;

  const sealed = (driver: DriverName, chain: ChainId): VolumeRow | null =>
    query
      .select()
      .from(volumes)
      .where(and(eq(volumes.driver, driver), eq(volumes.chain, chain), eq(volumes.state, 'sealed')))
      .get() ?? null;

  const chosenBy = (effect: string): VolumeRow | null =>
    query.select().from(volumes).where(eq(volumes.effect, effect)).get() ?? null;

  /** The sealed volume of the longest proper prefix. */
  function longestPrefix({ driver, chains }: Pick<NewVolume, 'driver' | 'chains'>): VolumeRow | null {
    for (const chain of chains.slice(0, -1).toReversed()) {
      const found = sealed(driver, chain);
      if (found !== null) return found;
    }
    return null;
  }

  const touch = (id: string, now: number): boolean =>
    joinWrite(db, () => {
      const sealedRow = and(eq(volumes.id, id), eq(volumes.state, 'sealed'));
      const { changes } = query
        .update(volumes)
        .set({ usedAt: live.stamp(now) })
        .where(sealedRow)
        .run();
      return changes > 0;
    });

  const isDeviceUsed = (driver: DriverName, device: number): boolean =>
    query
      .select()
      .from(devicesUsed)
      .where(and(eq(devicesUsed.driver, driver), eq(devicesUsed.device, device)))
      .get() !== undefined;

  function tree(id: string): VolumeTree {
    const row = find(id);
    if (row === null)
      throw unrecoverable('volume_missing', 'the database does not know this volume (any more)', {
        subject: id,
      });
    const { device, sizeBytes } = row;
    return { id, device, sizeBytes, parent: row.parent === null ? null : tree(row.parent) };
  }

  return {
    find,
    sealed,
    tree,
    isDeviceUsed,
    plan(wanted) {
      const chosen = chosenBy(wanted.effect);
      if (chosen !== null) return { kind: 'chosen', volume: chosen };
      const whole = sealed(wanted.driver, chainOf(wanted));
      if (whole !== null) return { kind: 'sealed', volume: whole };
      return { kind: 'new', parent: longestPrefix(wanted) };
    },
    touch,
    choose(wanted, now) {
      return write(db, () => {
        const before = chosenBy(wanted.effect);
        if (before !== null) return before;
        const { id, driver, parent, device, sizeBytes, effect } = wanted;
        const chain = chainOf(wanted);
        if (sealed(driver, chain) !== null) return null;
        if (parent !== null && !touch(parent, now)) return null;
        if (device !== null) {
          if (isDeviceUsed(driver, device)) return null;
          query.insert(devicesUsed).values({ driver, device }).run();
        }
        return query
          .insert(volumes)
          .values({
            id,
            driver,
            chain,
            layers: wanted.chains.length,
            parent,
            device,
            sizeBytes,
            state: 'creating',
            effect,
            createdAt: now,
            usedAt: live.stamp(now),
          })
          .returning()
          .get();
      });
    },
    created(id) {
      write(db, () =>
        query
          .update(volumes)
          .set({ state: 'created' })
          .where(and(eq(volumes.id, id), eq(volumes.state, 'creating')))
          .run(),
      );
    },
    seal(id, now) {
      return write(db, () => {
        const row = find(id);
        if (row === null || row.state === 'removing')
          throw recoverable('volume_missing', 'the volume is not there any more', {
            op: 'volume.seal',
            subject: id,
          });
        const winner = sealed(row.driver, row.chain);
        if (winner !== null && winner.id !== id) {
          touch(winner.id, now);
          query.update(volumes).set({ state: 'removing' }).where(eq(volumes.id, id)).run();
          return winner;
        }
        query
          .update(volumes)
          .set({ state: 'sealed', usedAt: live.stamp(now) })
          .where(eq(volumes.id, id))
          .run();
        return { ...row, state: 'sealed' };
      });
    },
    discard(id) {
      return write(db, () => {
        query
          .update(volumes)
          .set({ state: 'removing' })
          .where(and(eq(volumes.id, id), inArray(volumes.state, ['creating', 'created'])))
          .run();
        return find(id)?.state !== 'sealed';
      });
    },
    forget(id) {
      write(db, () =>
        query
          .delete(volumes)
          .where(and(eq(volumes.id, id), eq(volumes.state, 'removing')))
          .run(),
      );
    },
    list: () => query.select().from(volumes).orderBy(volumes.createdAt, volumes.layers).all(),
  };
}

function chainOf({ chains }: { chains: readonly ChainId[] }): ChainId {
  const chain = chains.at(-1);
  if (chain === undefined) throw new TypeError('a volume has at least one layer');
  return chain;
}
