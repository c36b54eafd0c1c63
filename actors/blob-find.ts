import type { Effect } from '#core/effect';
import type { LayerBlob } from '#core/image';
import type { Blobs } from '#db/images/index';
import type { BlobStore } from '#infra/blob-store';
import type { BlobInput } from '#machines/blob';

export interface BlobFindDeps {
  blobs: Pick<Blobs, 'locate' | 'touch'>;
  store: Pick<BlobStore, 'findWhole'>;
  now: () => number;
}

/**
 * **Does**: looks whether a layer is whole already: by its digest where that is known, else by the very
 * object it was once downloaded from. Says that it is in use. Null when it has to be fetched, also when
 * its row says that it is whole but the file is gone or has another size.
 * **Safe to repeat because**: it only looks, and moves `used_at` on.
 * **If killed**: nothing is left.
 * **Fails with**: `permission`, `system_call` (the blob store cannot be read), `database_failed`.
 */
export const blobFind =
  ({ blobs, store, now }: BlobFindDeps): Effect<BlobInput, LayerBlob | null> =>
  async ({ input: { source, layer }, signal }) => {
    signal.throwIfAborted();
    const blob = blobs.locate(source, layer);
    // In use first, then looked at: from the touch on no sweep takes the file away.
    if (blob === null || !blobs.touch(blob.digest, now())) return null;
    if ((await store.findWhole(blob.digest, blob.size)) === null) return null;
    return { ...blob, key: layer.key, etag: layer.etag, reused: true, fetched: 0 };
  };
