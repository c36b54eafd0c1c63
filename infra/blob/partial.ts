import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { unrecoverable } from '#core/errors';
import type { Digest } from '#core/ids';
import type { LayerRef } from '#core/image';
import { placeOf } from '#core/source';
import type { FetchedBlob, FetchRequest } from '../blob-store.ts';
import { fileError, renameDurably, unlinkDurably } from '../durable.ts';
import { download } from './download.ts';
import { orAbort, statOrNull } from './files.ts';
import type { Journal, Measured, PartialObject } from './journal.ts';
import { type Measuring, startMeasuring } from './measuring.ts';

export interface PartialPaths {
  data: string;
  journal: string;
}

export interface PartialWork {
  request: FetchRequest;
  paths: PartialPaths;
  /** Of `paths`, open: its lock is held. */
  journal: Journal;
  /** Where a blob of this digest belongs. */
  pathOf: (digest: Digest) => string;
  checkpointBytes: number;
}

/**
 * Makes a whole blob out of a partial download: brings what is missing, measures everything, compares,
 * syncs, writes the result down, gives it its name. Fails as `BlobStore.fetch` does.
 */
export async function fetchPartial(work: PartialWork): Promise<FetchedBlob> {
  return (await finishedBefore(work)) ?? (await fetchRest(work));
}

/** The result that the journal holds, its rename made up for if that is what a crash left out; else null. */
async function finishedBefore({ request, paths, journal, pathOf }: PartialWork): Promise<FetchedBlob | null> {
  const { object, whole, fetched } = journal.state;
  if (whole === null || !sameObject(object, objectOf(request))) return null;
  if ((await statOrNull(paths.data)) !== null) await renameDurably(paths.data, pathOf(whole.digest));
  const found = await statOrNull(pathOf(whole.digest));
  if (found?.isFile() !== true || found.size !== whole.size) return null;
  checkDigest(request.layer, whole.digest);
  return { ...whole, reused: false, fetched };
}

async function fetchRest({
  request,
  paths,
  journal,
  pathOf,
  checkpointBytes,
}: PartialWork): Promise<FetchedBlob> {
  const { layer, limits, signal } = request;
  const data = await openData(paths.data);
  let measuring: Measuring | undefined;
  let measured: Measured;
  let fetched: number;
  try {
    await prepare(journal, data, objectOf(request), paths.data);
    measuring = startMeasuring(data.fd, layer.size, limits, request.ringFor);
    fetched = await download({ ...request, data, path: paths.data, journal, measuring, checkpointBytes });
    measuring.finish();
    measured = await orAbort(measuring.result, signal);
    checkDigest(layer, measured.digest);
    await syncData(data, paths.data);
    await journal.whole(measured, fetched);
  } finally {
    await measuring?.stop();
    await data.close();
  }
  await renameDurably(paths.data, pathOf(measured.digest));
  return { ...measured, reused: false, fetched };
}

/** Removes a partial: the journal last, under its lock, for while there are bytes, there is what locks them. */
export async function unlinkPartial(paths: PartialPaths): Promise<void> {
  await unlinkDurably(paths.data);
  await unlinkDurably(paths.journal);
}

/** Leaves the data file with exactly the bytes that the journal vouches for, which are this object's. */
async function prepare(
  journal: Journal,
  data: FileHandle,
  object: PartialObject,
  path: string,
): Promise<void> {
  try {
    const { size } = await data.stat();
    const usable = sameObject(journal.state.object, object) && journal.state.whole === null;
    if (usable && journal.state.synced <= size) return await data.truncate(journal.state.synced);
    await data.truncate(0);
    await data.sync();
  } catch (error) {
    throw fileError(error, 'prepare', path);
  }
  await journal.begin(object);
}

async function openData(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    throw fileError(error, 'open', path);
  }
}

async function syncData(data: FileHandle, path: string): Promise<void> {
  try {
    await data.sync();
  } catch (error) {
    throw fileError(error, 'sync', path);
  }
}

const objectOf = ({ source, layer }: FetchRequest): PartialObject => ({
  ...placeOf(source),
  key: layer.key,
  etag: layer.etag,
  size: layer.size,
});

const sameObject = (a: PartialObject | null, b: PartialObject): boolean =>
  a !== null &&
  a.endpoint === b.endpoint &&
  a.bucket === b.bucket &&
  a.key === b.key &&
  a.etag === b.etag &&
  a.size === b.size;

function checkDigest(layer: LayerRef, digest: Digest): void {
  if (layer.digest !== null && layer.digest !== digest)
    throw unrecoverable(
      'digest_mismatch',
      `the layer has the digest ${digest}, ${layer.digest} was expected`,
      {
        subject: layer.key,
        hint: 'the source or the lock file is wrong: nothing of this layer was kept',
      },
    );
}
