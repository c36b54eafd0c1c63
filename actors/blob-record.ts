import type { Effect } from '#core/effect';
import type { LayerBlob, Source } from '#core/image';
import { type Blobs, downloadIdOf } from '#db/images/index';
import type { BlobStore } from '#infra/blob-store';
import type { FetchedBlob } from '#machines/blob';

export interface BlobRecordDeps {
  blobs: Pick<Blobs, 'record'>;
  store: Pick<BlobStore, 'removePartial'>;
  now: () => number;
}

export interface BlobRecordInput {
  source: Source;
  blob: FetchedBlob;
}

/**
 * **Does**: stores the blob and the object it came from, then forgets the download's journal.
 * **Safe to repeat because**: rows of the same digest and place are the same; a journal that is gone is
 * gone.
 * **If killed**: the journal may be left; the next sweep removes it.
 * **Fails with**: `layer_missing`, `partial_busy` (recoverable: a sweep or another run is at it just
 * now), `database_failed`, `system_call`.
 */
export const blobRecord =
  ({ blobs, store, now }: BlobRecordDeps): Effect<BlobRecordInput, LayerBlob> =>
  async ({ input: { source, blob }, signal }) => {
    signal.throwIfAborted();
    const { key, etag, fetched, ...facts } = blob;
    const object = { key, etag, size: blob.size };
    blobs.record(source, object, facts, now());
    await store.removePartial(downloadIdOf(source, object));
    return { ...blob, reused: fetched === 0 };
  };
