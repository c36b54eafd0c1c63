import type { Database } from 'better-sqlite3';
import { unrecoverable } from '#core/errors';
import type { ActivationOptions, ActivationResult, DriverName } from '#core/image';
import { drizzle, orm } from '../drizzle.ts';
import { write } from '../open.ts';
import type { LiveRuns } from './live-runs.ts';
import { activations, devicesUsed, images } from './schema.ts';
import type { Volumes, VolumeTree } from './volumes.ts';

const { and, asc, eq, lt, ne, notInArray } = orm;

export type ActivationRow = typeof activations.$inferSelect;

export interface NewActivation {
  id: string;
  image: string;
  device: number | null;
  options: ActivationOptions;
  mountPoint: string;
  effect: string;
}

/** An activation with all it stands on, as a driver wants it. */
export interface ActivationTree extends Omit<ActivationOptions, 'name' | 'ephemeral'> {
  id: string;
  base: VolumeTree;
  device: number | null;
  mountPoint: string;
}

export interface ActivationView extends ActivationRow {
  /** Of the image it was made from. */
  family: string;
}

export interface Activations {
  /** Chosen by this effect before. */
  chosen(effect: string): ActivationRow | null;
  /**
   * Commits a new activation of a complete image, its device number spent for ever in the same
   * transaction; null when that number is spent already. The same effect always gets the same row.
   * `image_not_found`, `name_taken`.
   */
  choose(activation: NewActivation, now: number): ActivationRow | null;
  /** It is there, at this place. `activation_not_found` when it is being taken down, or was. */
  record(result: ActivationResult): void;
  /** It is about to vanish from the world: its image was in use until `now`. */
  removing(id: string, now: number): void;
  /** It has vanished from the world. */
  forget(id: string): void;
  find(id: string): ActivationRow | null;
  /** The row as a driver wants it, with its base and all below. */
  tree(activation: ActivationRow): ActivationTree;
  /** By its id, its name, or the start of its id. */
  search(text: string): ActivationRow | null;
  ofImage(image: string): ActivationRow[];
  /** The active ones that no live run takes down. */
  settled(): ActivationRow[];
  list(): ActivationView[];
}

/** The rows of `activations`. */
export function createActivations(db: Database, live: LiveRuns, volumes: Volumes): Activations {
  const query = drizzle(db);

  const find = (id: string): ActivationRow | null =>
    query.select().from(activations).where(eq(activations.id, id)).get() ?? null;

  const chosen = (effect: string): ActivationRow | null =>
    query.select().from(activations).where(eq(activations.effect, effect)).get() ?? null;

  const named = (name: string): ActivationRow | null =>
    query.select().from(activations).where(eq(activations.name, name)).get() ?? null;

  function refuseTakenName(name: string | null): void {
    const holder = name === null ? null : named(name);
    if (holder !== null)
      throw unrecoverable('name_taken', `another activation has the name ${name}: ${holder.id}`, {
        op: 'activation.choose',
        subject: name ?? '',
        hint: `choose another --name, or flyd deactivate ${name}`,
      });
  }

  /** False when the number was given out before. */
  function spendDevice(driver: DriverName, device: number): boolean {
    const { changes } = query.insert(devicesUsed).values({ driver, device }).onConflictDoNothing().run();
    return changes > 0;
  }

  return {
    chosen,
    find,
    choose({ id, image, device, options, mountPoint, effect }, now) {
      return write(db, () => {
        const before = chosen(effect);
        if (before !== null) return before;
        const of = query.select().from(images).where(eq(images.id, image)).get();
        if (of?.state !== 'complete' || of.baseLvId === null)
          throw unrecoverable('image_not_found', `there is no complete image ${image}`, {
            op: 'activation.choose',
            subject: image,
            hint: 'list them: flyd images',
          });
        refuseTakenName(options.name);
        if (device !== null && !spendDevice(of.driver, device)) return null;
        query.update(images).set({ usedAt: now }).where(eq(images.id, image)).run();
        const { driver, baseLvId: volume } = of;
        const { name } = options;
        const row = { id, name, image, volume, driver, device, options, mountPoint, effect };
        return query
          .insert(activations)
          .values({ ...row, state: 'creating', createdAt: now })
          .returning()
          .get();
      });
    },
    record({ id, path, rootfs, device }) {
      write(db, () => {
        const { changes } = query
          .update(activations)
          .set({ state: 'active', path, rootfs, devicePath: device })
          .where(and(eq(activations.id, id), ne(activations.state, 'removing')))
          .run();
        if (changes === 0)
          throw unrecoverable('activation_not_found', 'the activation was taken down meanwhile', {
            op: 'activation.record',
            subject: id,
          });
      });
    },
    removing(id, now) {
      write(db, () => {
        const image = find(id)?.image;
        if (image === undefined) return;
        query.update(activations).set({ state: 'removing' }).where(eq(activations.id, id)).run();
        query
          .update(images)
          .set({ usedAt: now })
          .where(and(eq(images.id, image), lt(images.usedAt, now)))
          .run();
      });
    },
    forget(id) {
      write(db, () =>
        query
          .delete(activations)
          .where(and(eq(activations.id, id), eq(activations.state, 'removing')))
          .run(),
      );
    },
    search(text) {
      const begin = query
        .select()
        .from(activations)
        .all()
        .filter((row) => row.id.startsWith(text));
      return (
        find(text) ??
        named(text) ??
        (begin.length === 1 && text.length > 'act-'.length ? (begin[0] ?? null) : null)
      );
    },
    tree({ id, volume, device, mountPoint, options: { name: _, ephemeral: __, ...options } }) {
      return { ...options, id, device, mountPoint, base: volumes.tree(volume) };
    },
    ofImage: (image) =>
      query.select().from(activations).where(eq(activations.image, image)).orderBy(asc(activations.id)).all(),
    settled: () =>
      query
        .select()
        .from(activations)
        .where(and(eq(activations.state, 'active'), notInArray(activations.id, live.deactivated())))
        .orderBy(asc(activations.createdAt), asc(activations.id))
        .all(),
    list: () =>
      query
        .select({ ...orm.getTableColumns(activations), family: images.family })
        .from(activations)
        .innerJoin(images, eq(images.id, activations.image))
        .orderBy(asc(activations.createdAt), asc(activations.id))
        .all(),
  };
}
