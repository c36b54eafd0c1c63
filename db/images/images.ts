import type { Database } from 'better-sqlite3';
import { unrecoverable } from '#core/errors';
import type { ChainId, DiffId, Digest } from '#core/ids';
import type { DriverName, LayerMediaType } from '#core/image';
import type { ImageManifest } from '#core/source';
import { drizzle, orm } from '../drizzle.ts';
import { once } from '../lazy.ts';
import { write } from '../open.ts';
import type { Blobs } from './blobs.ts';
import type { Configs } from './configs.ts';
import { createImageViews, type ImageViews } from './image-views.ts';
import type { LiveRuns } from './live-runs.ts';
import { activations, imageBlobs, images } from './schema.ts';
import { identityOf, type SourceIdentity } from './sources.ts';
import type { Volumes } from './volumes.ts';

const { and, desc, eq } = orm;

export type ImageRow = typeof images.$inferSelect;

/** A complete image: what `images.base_lv_id` and the chain are never null of. */
export interface CompleteImage extends ImageRow {
  chain: ChainId;
  baseLvId: string;
}

export interface NewImage {
  id: string;
  family: string;
  source: SourceIdentity;
  driver: DriverName;
  effect: string;
}

export interface FinishedImage extends NewImage {
  chain: ChainId;
  /** Null for a family of plain layers. Its config is kept already (`Configs.keep`). */
  manifest: ImageManifest | null;
  /** The layers in order. */
  layers: readonly { digest: Digest; key: string; etag: string }[];
}

export interface ImageLayerView {
  key: string;
  etag: string;
  digest: Digest;
  diffId: DiffId;
  size: number;
  rawSize: number;
  mediaType: LayerMediaType;
}

/** An image as a list has it. */
export interface ImageSummary extends ImageRow {
  /** Ids of its activations, whatever their state. */
  activations: string[];
}

export interface ImageView extends ImageSummary {
  layers: ImageLayerView[];
}

export interface Images extends ImageViews {
  /** Commits the id of an image that is going to be made; the same effect always gets the same row. */
  reserve(image: NewImage, now: number): ImageRow;
  /**
   * Makes the image complete: links its layers and its base, the sealed volume of its chain. When that
   * image of that family is there already, the older row stays, with these layers, and the
   * reservation goes: the result has the id that stays. `layer_missing`, `volume_missing` when what it
   * links is gone.
   */
  register(image: FinishedImage, now: number): { id: string; base: string };
  /** Drops a reservation; a complete image stays. */
  release(id: string): void;
  /** A complete image by its id. */
  find(id: string): CompleteImage | null;
  /** A complete image by its id, the start of it, or its family, with or without tag (the last one used). */
  search(text: string): CompleteImage | null;
  /** Drops a complete image, if nothing is activated from it: else the ids of its activations. */
  drop(id: string): string[];
  /** Exempts a complete image from eviction, or no longer; false when there is none of this id. */
  pin(id: string, pinned: boolean): boolean;
}

/** The rows of `images` and `image_blobs`. */
export function createImages(
  db: Database,
  {
    live,
    blobs: blobRows,
    volumes,
    configs,
  }: { live: LiveRuns; blobs: Blobs; volumes: Volumes; configs: Configs },
): Images {
  const query = drizzle(db);

  const complete = (row: ImageRow | undefined): CompleteImage | null =>
    row?.state === 'complete' ? (row as CompleteImage) : null;

  const byId = (id: string): ImageRow | undefined =>
    query.select().from(images).where(eq(images.id, id)).get();

  const same = ({ family, source, driver, chain }: FinishedImage): CompleteImage | null =>
    complete(
      query
        .select()
        .from(images)
        .where(
          and(
            eq(images.family, family),
            eq(images.source, identityOf(source)),
            eq(images.driver, driver),
            eq(images.chain, chain),
            eq(images.state, 'complete'),
          ),
        )
        .get(),
    );

  const activationsOf = (id: string): string[] =>
    query
      .select({ id: activations.id })
      .from(activations)
      .where(eq(activations.image, id))
      .all()
      .map((row) => row.id);

  const sumUp = once(() =>
    db.prepare(`
      UPDATE images SET (layer_count, size, raw_size) = (
        SELECT count(*), coalesce(sum(size), 0), coalesce(sum(raw_size), 0) FROM image_blobs WHERE image = @id)
      WHERE id = @id`),
  );
  const link = once(() =>
    db.prepare(`
      INSERT INTO image_blobs (image, position, digest, key, etag, diff_id, size, raw_size, media_type)
      SELECT @image, @position, digest, @key, @etag, diff_id, size, raw_size, media_type
      FROM blobs WHERE digest = @digest`),
  );

  function linkLayers(id: string, { layers }: FinishedImage, now: number): void {
    query.delete(imageBlobs).where(eq(imageBlobs.image, id)).run();
    layers.forEach(({ digest, key, etag }, position) => {
      if (!blobRows.touch(digest, now))
        throw unrecoverable('layer_missing', 'a layer of the image is not in the blob store any more', {
          op: 'image.register',
          subject: digest,
          hint: 'pull again',
        });
      link().run({ image: id, position, digest, key, etag });
    });
    sumUp().run({ id });
  }

  return {
    reserve({ id, family, source, driver, effect }, now) {
      return write(db, () => {
        const usedAt = live.stamp(now);
        query
          .insert(images)
          .values({
            id,
            family,
            source: identityOf(source),
            driver,
            state: 'incomplete',
            effect,
            createdAt: now,
            usedAt,
          })
          .onConflictDoNothing({ target: images.effect })
          .run();
        const row = query.select().from(images).where(eq(images.effect, effect)).get();
        return row as ImageRow;
      });
    },
    register(image, now) {
      return write(db, () => {
        const base = volumes.sealed(image.driver, image.chain);
        if (base === null)
          throw unrecoverable('volume_missing', 'the base of the image is not there any more', {
            op: 'image.register',
            subject: image.chain,
            hint: 'pull again',
          });
        const { manifest } = image;
        if (manifest !== null && !configs.touch(manifest.config, now))
          throw unrecoverable('layer_missing', 'the config of the image is not in the database any more', {
            op: 'image.register',
            subject: manifest.config,
            hint: 'pull again',
          });
        const before = same(image);
        const id = before?.id ?? image.id;
        if (before !== null && before.id !== image.id)
          query
            .delete(images)
            .where(and(eq(images.id, image.id), eq(images.state, 'incomplete')))
            .run();
        const set = {
          chain: image.chain,
          baseLvId: base.id,
          state: 'complete' as const,
          usedAt: live.stamp(now),
          manifest,
          config: manifest?.config ?? null,
        };
        const { family, driver, effect } = image;
        query
          .insert(images)
          .values({ id, family, source: identityOf(image.source), driver, effect, createdAt: now, ...set })
          .onConflictDoUpdate({ target: images.id, set })
          .run();
        volumes.touch(base.id, now);
        linkLayers(id, image, now);
        return { id, base: base.id };
      });
    },
    release(id) {
      write(db, () =>
        query
          .delete(images)
          .where(and(eq(images.id, id), eq(images.state, 'incomplete')))
          .run(),
      );
    },
    find: (id) => complete(byId(id)),
    search(text) {
      const rows = query
        .select()
        .from(images)
        .where(eq(images.state, 'complete'))
        .orderBy(desc(images.usedAt), desc(images.createdAt))
        .all();
      const begin = rows.filter((row) => row.id.startsWith(text));
      const found =
        rows.find((row) => row.id === text) ??
        rows.find((row) => row.family === text) ??
        rows.find((row) => /^[:@]/.test(row.family.startsWith(text) ? row.family.slice(text.length) : '')) ??
        (begin.length === 1 && text.length > 'img-'.length ? begin[0] : undefined);
      return complete(found);
    },
    drop(id) {
      return write(db, () => {
        const using = activationsOf(id);
        if (using.length === 0)
          query
            .delete(images)
            .where(and(eq(images.id, id), eq(images.state, 'complete')))
            .run();
        return using;
      });
    },
    pin: (id, pinned) =>
      write(
        db,
        () =>
          query
            .update(images)
            .set({ pinned })
            .where(and(eq(images.id, id), eq(images.state, 'complete')))
            .run().changes > 0,
      ),
    ...createImageViews(db),
  };
}
