import type { Effect } from '#core/effect';
import { FlydError, fromErrorRecord, recoverable, toErrorRecord } from '#core/errors';
import type { Digest } from '#core/ids';
import type { DriverName } from '#core/image';
import type { Limits } from '#core/limits';
import { type Blobs, downloadIdOf } from '#db/images/index';
import type { BlobStore, FetchRequest } from '#infra/blob-store';
import type { RangeSource } from '#infra/object-source';
import type { PartMaking, VolumeDriver } from '#infra/volumes/driver';
import type { BlobInput, FetchedBlob } from '#machines/blob';

export interface BlobFetchDeps {
  blobs: Pick<Blobs, 'locate' | 'touch' | 'claim'>;
  store: Pick<BlobStore, 'fetch' | 'findWhole'>;
  objects: RangeSource;
  limits: Limits;
  drivers: (name: DriverName) => Pick<VolumeDriver, 'parts'>;
  /** Whether the process with this token lives. */
  isAlive: (holder: string) => boolean;
  now: () => number;
}

/**
 * **Does**: brings the rest of a layer's bytes into the blob store, hashes both sides, gives the whole
 * file its name, and makes sure that no garbage collection is about to take it away. A driver that can
 * prepares the layer from the bytes as they are inflated.
 * **Safe to repeat because**: the download has a name made of where the object is, and a journal: bytes
 * that are on the disk are not asked for again, and a finished one gives the same result. Another
 * download of the same layer is found.
 * **If killed**: a partial download is left, which this or a later run goes on with.
 * Bytes that came damaged are fetched anew, three times in all.
 * **Fails with**: `object_changed`, `digest_mismatch`, `size_mismatch`, `layer_corrupt`,
 * `layer_unsupported`, `limit_exceeded`; `object_missing` (pending); `partial_busy`, `layer_missing`
 * (recoverable: somebody else fetches or removes it just now), `no_space`; and as ObjectSource does.
 */
export const blobFetch =
  (deps: BlobFetchDeps): Effect<BlobInput, FetchedBlob> =>
  async ({ input: { source, layer, driver }, signal, progress }) => {
    const { blobs, store, objects, limits, isAlive, now } = deps;
    signal.throwIfAborted();
    const place = { key: layer.key, etag: layer.etag };
    const known = blobs.locate(source, layer);
    if (known !== null && blobs.touch(known.digest, now()) && (await isThere(known)))
      return { ...known, ...place, fetched: 0 };

    const parts = driver === undefined ? null : deps.drivers(driver).parts;
    const partialId = downloadIdOf(source, layer);
    const begin = () => parts?.begin(partialId, limits) ?? null;
    const tidy = async () => parts?.tidy(partialId);
    const { reused: _, ...blob } = await fetchingAnew(() =>
      preparing(begin, tidy, (ringFor) =>
        store.fetch({
          source,
          layer,
          partialId,
          objects,
          limits,
          signal,
          ringFor,
          onProgress: (done, total) => progress({ done, total, unit: 'bytes' }),
        }),
      ),
    );
    if (!blobs.claim(blob.digest, now(), isAlive) || !(await isThere(blob)))
      throw recoverable('layer_missing', 'a garbage collection is just removing the same blob', {
        op: 'blob.fetch',
        subject: blob.digest,
      });
    return { ...blob, ...place };

    async function isThere({ digest, size }: Pick<FetchedBlob, 'digest' | 'size'>): Promise<boolean> {
      return (await store.findWhole(digest, size)) !== null;
    }
  };

/** What a bit that was flipped on the way looks like; and a layer that is damaged where it is stored. */
const damage: readonly string[] = ['digest_mismatch', 'layer_corrupt', 'layer_unsupported'];
const fetchesMax = 3;

/** Fetches again what came damaged, a few times at once: nothing of it was kept, and most often it is the way. */
async function fetchingAnew<Blob>(fetch: () => Promise<Blob>): Promise<Blob> {
  for (let fetches = 1; ; fetches++) {
    try {
      return await fetch();
    } catch (error) {
      if (!(error instanceof FlydError) || !damage.includes(error.code)) throw error;
      if (fetches < fetchesMax) continue;
      const record = toErrorRecord(error);
      throw fromErrorRecord({
        ...record,
        message: `${record.message}; fetched ${fetches} times, each time so`,
      });
    }
  }
}

type RingFor = NonNullable<FetchRequest['ringFor']>;

/**
 * Lets a driver prepare the layer beside its fetch; what it made is kept only of a layer that came whole. One
 * that had come already is prepared by nobody: then what a killed call left of it is of no use.
 */
async function preparing<Blob extends { digest: Digest }>(
  begin: () => PartMaking | null,
  tidy: () => Promise<void>,
  fetch: (ringFor: RingFor) => Promise<Blob>,
): Promise<Blob> {
  let making: PartMaking | null = null;
  const ringFor = (): ReturnType<RingFor> => {
    making = begin();
    return making?.ring ?? null;
  };
  const current = (): PartMaking | null => making;
  try {
    const blob = await fetch(ringFor);
    const made = current();
    await (made === null ? tidy() : made.keep(blob.digest));
    return blob;
  } catch (error) {
    await current()?.drop();
    throw error;
  }
}
