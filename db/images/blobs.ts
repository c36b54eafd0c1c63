import type { Database } from 'better-sqlite3';
import { recoverable } from '#core/errors';
import type { DiffId, Digest } from '#core/ids';
import type { LayerMediaType, LayerRef } from '#core/image';
import { placeOf } from '#core/source';
import { drizzle, orm } from '../drizzle.ts';
import { write } from '../open.ts';
import { type BlobView, listBlobs } from './blob-list.ts';
import { joinWrite } from './joined.ts';
import { type LeaseHold, type Leases, sweepLease } from './leases.ts';
import type { LiveRuns } from './live-runs.ts';
import { blobSources, blobs } from './schema.ts';
import type { ObjectAt, SourceIdentity } from './sources.ts';

const { and, eq } = orm;

/** What the database knows of a blob's bytes. */
export interface BlobFacts {
  digest: Digest;
  /** Bytes as stored. */
  size: number;
  diffId: DiffId;
  /** Bytes when uncompressed. */
  rawSize: number;
  mediaType: LayerMediaType;
}

export interface Blobs {
  /** The whole blob of this digest; null when there is none, or a sweep is at it. */
  find(digest: Digest): BlobFacts | null;
  /**
   * The whole blob that a layer is, as far as that is known before a download: by its digest, if it has
   * one, else because it was once downloaded from this very object. An ETag alone names nothing.
   */
  locate(source: SourceIdentity, layer: LayerRef): BlobFacts | null;
  /** Says that a live run relies on it from now on; false when it is not there (any more). */
  touch(digest: Digest, now: number): boolean;
  /**
   * Before one relies on the file of this digest while its row may be missing: false when a living
   * sweep is about to remove that file; what a dead sweep left half-done is undone.
   */
  claim(digest: Digest, now: number, isAlive: (holder: string) => boolean): boolean;
  /** Stores a blob whose file is whole, and the object it came from. `recoverable` while a sweep is at it. */
  record(source: SourceIdentity, object: ObjectAt, blob: BlobFacts, now: number): void;
  list(): BlobView[];
}

/** The rows of `blobs` and `blob_sources`. */
export function createBlobs(db: Database, live: LiveRuns, leases: Leases): Blobs {
  const query = drizzle(db);
  const facts = {
    digest: blobs.digest,
    size: blobs.size,
    diffId: blobs.diffId,
    rawSize: blobs.rawSize,
    mediaType: blobs.mediaType,
  };

  const find = (digest: Digest): BlobFacts | null =>
    query
      .select(facts)
      .from(blobs)
      .where(and(eq(blobs.digest, digest), eq(blobs.state, 'whole')))
      .get() ?? null;

  function findFrom(source: SourceIdentity, { key, etag, size }: ObjectAt): BlobFacts | null {
    const { endpoint, bucket } = placeOf(source);
    const row = query
      .select(facts)
      .from(blobSources)
      .innerJoin(blobs, eq(blobs.digest, blobSources.digest))
      .where(
        and(
          eq(blobSources.endpoint, endpoint),
          eq(blobSources.bucket, bucket),
          eq(blobSources.key, key),
          eq(blobSources.etag, etag),
          eq(blobSources.size, size),
          eq(blobs.state, 'whole'),
        ),
      )
      .get();
    return row ?? null;
  }

  const stateOf = (digest: Digest): 'whole' | 'removing' | null =>
    query.select({ state: blobs.state }).from(blobs).where(eq(blobs.digest, digest)).get()?.state ?? null;

  function claimOnce(digest: Digest, now: number, dead: LeaseHold | null): 'claimed' | 'changed' {
    return write(db, () => {
      const sweeper = leases.holder(sweepLease);
      const swept = stateOf(digest) === 'removing';
      if (swept && (sweeper?.holder !== dead?.holder || sweeper?.effect !== dead?.effect)) return 'changed';
      query
        .update(blobs)
        .set({ state: 'whole', usedAt: live.stamp(now) })
        .where(eq(blobs.digest, digest))
        .run();
      return 'claimed';
    });
  }

  return {
    find,
    locate: (source, layer) =>
      layer.digest === null ? findFrom(source, layer) : ofSize(find(layer.digest), layer.size),
    touch(digest, now) {
      return joinWrite(db, () => {
        const { changes } = query
          .update(blobs)
          .set({ usedAt: live.stamp(now) })
          .where(and(eq(blobs.digest, digest), eq(blobs.state, 'whole')))
          .run();
        return changes > 0;
      });
    },
    claim(digest, now, isAlive) {
      for (;;) {
        const sweeper = stateOf(digest) === 'removing' ? leases.holder(sweepLease) : null;
        if (sweeper !== null && isAlive(sweeper.holder)) return false;
        if (claimOnce(digest, now, sweeper) === 'claimed') return true;
      }
    },
    record(source, object, blob, now) {
      write(db, () => {
        if (stateOf(blob.digest) === 'removing')
          throw recoverable('layer_missing', 'a garbage collection is just removing this blob', {
            op: 'blob.record',
            subject: blob.digest,
          });
        const usedAt = live.stamp(now);
        query
          .insert(blobs)
          .values({ ...blob, state: 'whole', createdAt: now, usedAt })
          .onConflictDoUpdate({ target: blobs.digest, set: { usedAt } })
          .run();
        if (object.etag === '') return; // without a version, where it came from says nothing
        const at = { ...placeOf(source), ...object };
        query
          .insert(blobSources)
          .values({ ...at, digest: blob.digest })
          .onConflictDoUpdate({
            target: [
              blobSources.endpoint,
              blobSources.bucket,
              blobSources.key,
              blobSources.etag,
              blobSources.size,
            ],
            set: { digest: blob.digest },
          })
          .run();
      });
    },
    list: () => listBlobs(db),
  };
}

/** A digest that comes with another size than that of its bytes names nothing. */
const ofSize = (blob: BlobFacts | null, size: number): BlobFacts | null =>
  blob?.size === size ? blob : null;
