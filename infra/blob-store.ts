import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FlydError, fromErrorRecord, toErrorRecord, unrecoverable } from '#core/errors';
import { type Digest, hexOf } from '#core/ids';
import type { LayerBlob, LayerRef, Source } from '#core/image';
import type { Limits } from '#core/limits';
import { type FilesFound, startListing, startMeasuring } from './blob/file-list.ts';
import { namesIn, statNow, statOrNull } from './blob/files.ts';
import { type Measured, openJournal } from './blob/journal.ts';
import { blobFolderOf } from './blob/lookers.ts';
import { fetchPartial, type PartialPaths, unlinkPartial } from './blob/partial.ts';
import { measureWhole } from './blob/whole.ts';
import { errnoOf, fileError, syncDir, unlinkIfThere } from './durable.ts';
import type { SharedRing } from './layer/ring-memory.ts';
import type { RangeSource } from './object-source.ts';

/**
 * Layers as they were stored in the bucket, by the sha256 of their bytes:
 *
 *   <dir>/blobs/sha256/<hex>     whole and verified; nothing else ever has a name here
 *   <dir>/partial/<id>           the bytes of a download that is not whole
 *   <dir>/partial/<id>.journal   what is known of it (blob/journal.ts), and its lock
 *
 * A download ends with: bytes fsynced, result in the journal, renamed, folders fsynced. The journal
 * stays until `removePartial`, so that a crash between the rename and whatever the caller does with
 * the result costs nothing: the next `fetch` of that partial gives the same result without a request.
 */
export interface BlobStore {
  /** The path of this blob when it is there with this size, else null. Its name vouches for its content. */
  findWhole(digest: Digest, size: number): Promise<string | null>;
  pathOf(digest: Digest): string;
  /** See `FetchRequest`. */
  fetch(request: FetchRequest): Promise<FetchedBlob>;
  /** Reads a whole blob and says what it is. `layer_missing` when it is not there, `digest_mismatch` when it rotted. */
  measure(digest: Digest, limits: Limits, signal?: AbortSignal): Promise<Measured>;
  /** Removes a partial download and its journal. `partial_busy` while somebody fetches it. */
  removePartial(id: string): Promise<void>;
  /** True when the blob was there. Gone for good, whatever happens, only after `syncRemovals`. */
  removeBlob(digest: Digest): Promise<boolean>;
  /** What was removed stays so after a power cut: one sync for many. */
  syncRemovals(): Promise<void>;
  /** Begins to list all files; what it gives sees to the end of it, and gives their names as `core/blob-files.ts` compares them. */
  startListing(): () => Promise<Uint8Array>;
  /** The same, and looks how large each is. */
  startMeasuring(): Measuring;
  /** Those of the digests that have a file, with its bytes. For a few. */
  blobSizes(digests: readonly Digest[]): Map<Digest, number>;
  /** Partials with their bytes and the time of their last change in ms since 1970; an id whose journal alone is left has 0 bytes. */
  listPartials(): Promise<{ id: string; bytes: number; modifiedMs: number }[]>;
}

/** Sees to the end of a look at all files, and gives what there is. */
export type Measuring = () => Promise<FilesFound>;

export interface FetchRequest {
  source: Source;
  layer: LayerRef;
  /** Chosen and committed by the caller before; the same over every rerun. `[A-Za-z0-9._-]`, at most 128. */
  partialId: string;
  objects: RangeSource;
  limits: Limits;
  signal: AbortSignal;
  /** Asked once if the raw bytes of the layer are inflated here: a ring for them, see `measure`. */
  ringFor?: () => SharedRing | null;
  /** Bytes of the object that are in the partial, of its size. */
  onProgress?: (done: number, total: number) => void;
}

export type FetchedBlob = Omit<LayerBlob, 'key' | 'etag'>;

/** What a failure says about the bytes so far: after these they are worth nothing. */
const spoiling: readonly string[] = [
  'digest_mismatch',
  'layer_corrupt',
  'layer_hostile',
  'layer_unsupported',
  'limit_exceeded',
  'object_changed',
  'size_mismatch',
];

/** A blob store below `dir`, which exists. `checkpointBytes`: after so many the next sync begins, and a crash costs what came since the last; default 16 MiB. */
export function createBlobStore(dir: string, { checkpointBytes = 16 * 1024 * 1024 } = {}): BlobStore {
  const blobsDir = blobFolderOf(dir);
  const partialDir = join(dir, 'partial');
  const pathOf = (digest: Digest) => join(blobsDir, hexOf(digest));

  async function findWhole(digest: Digest, size: number): Promise<string | null> {
    const found = await statOrNull(pathOf(digest));
    return found?.isFile() === true && found.size === size ? pathOf(digest) : null;
  }

  async function fetch(request: FetchRequest): Promise<FetchedBlob> {
    const { layer, limits, signal } = request;
    signal.throwIfAborted();
    if (layer.size > limits.objectBytesMax)
      throw unrecoverable(
        'limit_exceeded',
        `the object has ${layer.size} bytes, ${limits.objectBytesMax} are allowed`,
        {
          subject: layer.key,
          hint: 'raise the limit objectBytesMax if you trust the source',
        },
      );
    const known = layer.digest === null ? null : await reuse(layer.digest, layer.size, limits, signal);
    if (known !== null) return { ...known, reused: true, fetched: 0 };

    await makeDirs();
    const paths = partialPaths(request.partialId);
    const journal = await openJournal(paths.journal);
    try {
      return await fetchPartial({ request, paths, journal, pathOf, checkpointBytes });
    } catch (error) {
      if (error instanceof FlydError && spoiling.includes(error.code)) await unlinkPartial(paths);
      throw aboutLayer(error, layer.key);
    } finally {
      await journal.close();
    }
  }

  /** A whole blob of this digest, measured anew; null when there is none, or none any more because it rotted. */
  async function reuse(
    digest: Digest,
    size: number,
    limits: Limits,
    signal: AbortSignal,
  ): Promise<Measured | null> {
    if ((await findWhole(digest, size)) === null) return null;
    try {
      return await measureWhole({ path: pathOf(digest), digest, limits, signal });
    } catch (error) {
      if (error instanceof FlydError && error.code === 'digest_mismatch') return null;
      throw error;
    }
  }

  async function removePartial(id: string): Promise<void> {
    const paths = partialPaths(id);
    if ((await statOrNull(paths.journal)) === null && (await statOrNull(paths.data)) === null) return;
    const journal = await openJournal(paths.journal);
    try {
      await unlinkPartial(paths);
    } finally {
      await journal.close();
    }
  }

  function blobSizes(digests: readonly Digest[]): Map<Digest, number> {
    const sizes = new Map<Digest, number>();
    for (const digest of digests) {
      const found = statNow(pathOf(digest));
      if (found?.isFile() === true) sizes.set(digest, found.size);
    }
    return sizes;
  }

  async function listPartials(): Promise<{ id: string; bytes: number; modifiedMs: number }[]> {
    const names = await namesIn(partialDir);
    const ids = new Set(names.map((name) => name.replace(/\.journal$/, '')).filter(isPartialId));
    const partials: { id: string; bytes: number; modifiedMs: number }[] = [];
    for (const id of ids) {
      const paths = partialPaths(id);
      const [data, journal] = [await statOrNull(paths.data), await statOrNull(paths.journal)];
      const modifiedMs = Math.max(data?.mtimeMs ?? 0, journal?.mtimeMs ?? 0);
      if (data !== null || journal !== null) partials.push({ id, bytes: data?.size ?? 0, modifiedMs });
    }
    return partials;
  }

  function partialPaths(id: string): PartialPaths {
    if (!isPartialId(id)) throw new TypeError(`not an id of a partial download: ${id}`);
    return { data: join(partialDir, id), journal: join(partialDir, `${id}.journal`) };
  }

  async function makeDirs(): Promise<void> {
    for (const path of [dirname(blobsDir), blobsDir, partialDir]) {
      try {
        await mkdir(path, { mode: 0o700 });
      } catch (error) {
        if (errnoOf(error) === 'EEXIST') continue;
        throw fileError(error, 'make', path);
      }
      await syncDir(dirname(path));
    }
  }

  return {
    findWhole,
    pathOf,
    fetch,
    measure: (digest, limits, signal) => measureWhole({ path: pathOf(digest), digest, limits, signal }),
    removePartial,
    removeBlob: (digest) => unlinkIfThere(pathOf(digest)),
    syncRemovals: () => syncDir(blobsDir),
    startListing: () => startListing(blobsDir),
    startMeasuring: () => startMeasuring(blobsDir),
    blobSizes,
    listPartials,
  };
}

/** Readers of bytes do not know whose bytes they read: a failure of theirs is told with the object. */
const aboutLayer = (error: unknown, key: string): unknown =>
  error instanceof FlydError && error.subject === undefined
    ? fromErrorRecord({ ...toErrorRecord(error), subject: key })
    : error;

const isPartialId = (id: string): boolean =>
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(id) && !id.endsWith('.journal');
