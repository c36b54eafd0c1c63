import { join } from 'node:path';
import type { Effect, Progress } from '#core/effect';
import type { ErrorCode } from '#core/error-codes';
import { FlydError, unrecoverable } from '#core/errors';
import type { DriverName, LayerBlob } from '#core/image';
import type { Limits } from '#core/limits';
import type { Volumes, VolumeTree } from '#db/images/index';
import type { BlobStore } from '#infra/blob-store';
import type { unpackLayer } from '#infra/layer/unpack';
import type { VolumeFill } from '#infra/volume-fill';
import type { Filled, LayerParts, OpenVolume, VolumeDriver } from '#infra/volumes/driver';
import type { UnpackReport } from '#machines/volume';

export interface VolumeUnpackDeps {
  volumes: Pick<Volumes, 'tree'>;
  store: Pick<BlobStore, 'findWhole'>;
  drivers: (
    name: DriverName,
  ) => Pick<VolumeDriver, 'ready' | 'create' | 'open' | 'close' | 'parts' | 'assertRoom'>;
  fill: VolumeFill;
  unpack: typeof unpackLayer;
  limits: Limits;
}

export interface VolumeUnpackInput {
  driver: DriverName;
  id: string;
  /** In order, without those that the parent volume holds. */
  layers: LayerBlob[];
}

/**
 * **Does**: applies layers in order to a clean volume, from what was prepared of them while they were
 * fetched or else from their blobs, and sees that all of it is on the disk.
 * **Safe to repeat because**: a mark in the volume says whether a filling has begun or ended. A volume that
 * was half filled is made anew; one that is full is left alone, and gives the report of its filling.
 * **If killed**: the volume is open and half filled, or full; the mark tells.
 * **Fails with**: `layer_missing`, `layer_corrupt`, `layer_unsupported`, `layer_hostile`,
 * `digest_mismatch`, `limit_exceeded`, `no_space`, `volume_missing`, `driver_failed`, `system_call` (a
 * write failed), `pool_broken`.
 */
export const volumeUnpack =
  (deps: VolumeUnpackDeps): Effect<VolumeUnpackInput, UnpackReport> =>
  async ({ input: { driver: name, id, layers }, signal, progress }) => {
    signal.throwIfAborted();
    const blobs = await findBlobs(deps, layers);
    const volume = deps.volumes.tree(id);
    const driver = deps.drivers(name);
    await driver.ready();
    signal.throwIfAborted();
    let opened = await driver.open(volume);
    const mark = await deps.fill.read<UnpackReport>(opened.root);
    if (mark?.volume === id) {
      if (mark.report !== null) return mark.report;
      opened = await renew(driver, volume);
    }
    signal.throwIfAborted();
    try {
      return await fillClean(deps, { id, opened, blobs, parts: driver.parts, signal, progress });
    } catch (error) {
      if (!signal.aborted && isOfWriting(error)) await driver.assertRoom?.();
      throw error;
    }
  };

/** Whether a write failed, for which what is below the volume may have a better reason. */
const isOfWriting = (error: unknown): boolean =>
  error instanceof FlydError && ['system_call', 'permission', 'driver_failed'].includes(error.code);

/** A layer and the path of its bytes. */
interface Blob {
  layer: LayerBlob;
  path: string;
}

async function findBlobs(
  { store }: Pick<VolumeUnpackDeps, 'store'>,
  layers: readonly LayerBlob[],
): Promise<Blob[]> {
  const blobs: Blob[] = [];
  for (const layer of layers) {
    const path = await store.findWhole(layer.digest, layer.size);
    if (path === null)
      throw unrecoverable('layer_missing', 'the blob store does not have this layer any more', {
        op: 'volume.unpack',
        subject: layer.digest,
        hint: 'pull again: it will be fetched anew',
      });
    blobs.push({ layer, path });
  }
  return blobs;
}

/** The volume as it was before an earlier call began to fill it. */
async function renew(
  driver: Pick<VolumeDriver, 'create' | 'open' | 'close'>,
  volume: VolumeTree,
): Promise<OpenVolume> {
  await driver.close(volume);
  await driver.create(volume);
  return driver.open(volume);
}

interface Filling {
  id: string;
  opened: OpenVolume;
  blobs: readonly Blob[];
  parts: LayerParts | null;
  signal: AbortSignal;
  progress: (detail: Progress) => void;
}

async function fillClean(deps: VolumeUnpackDeps, filling: Filling): Promise<UnpackReport> {
  const { id, opened } = filling;
  const watched = await deps.fill.watch(opened.root);
  try {
    await deps.fill.write(opened.root, { volume: id, report: null });
    const { report, synced } = await applyAll(deps, filling);
    // Whoever wrote an image, or filled the volume with what was prepared, has synced it already.
    if (!synced) await watched.sync();
    // Last, and only after everything else is on the disk: from here on the volume counts as full.
    await deps.fill.write(opened.root, { volume: id, report });
    return report;
  } finally {
    await watched.close();
  }
}

async function applyAll(
  { unpack, limits }: VolumeUnpackDeps,
  { id, opened, blobs, parts, signal, progress }: Filling,
): Promise<{ report: UnpackReport; synced: boolean }> {
  const { root, form, lowers, privileged } = opened;
  if (form !== 'flat' && blobs.length > 1)
    throw unrecoverable('volume_missing', `the volume below ${id} is gone: it would hold two layers`, {
      op: 'volume.unpack',
      subject: id,
      hint: 'pull again',
    });
  const target: Target =
    opened.form === 'image'
      ? { form: 'image', path: opened.image, lowers }
      : { rootfs: join(root, 'rootfs'), form: opened.form, lowers, privileged };
  const total = blobs.reduce((sum, { layer }) => sum + layer.rawSize, 0);
  const report: UnpackReport = { entries: 0, bytes: 0, warnings: [] };
  let before = 0;
  let synced = true;
  for (const { layer, path } of blobs) {
    signal.throwIfAborted();
    const fromBlob = () =>
      unpack({
        blobPath: path,
        expected: { rawSize: layer.rawSize, diffId: layer.diffId },
        target,
        limits,
        signal,
        // Once for all layers, by the one who watched for failing writes from the start.
        sync: false,
        onProgress: ({ done }) => progress({ done: before + done, total, unit: 'unpacked', note: layer.key }),
      });
    const applied = await naming(layer, signal, async () => {
      const prepared = await parts?.fill(layer.digest, opened, limits);
      signal.throwIfAborted();
      synced &&= prepared != null || form === 'image';
      return prepared ?? (await fromBlob());
    });
    before += layer.rawSize;
    addTo(report, applied);
  }
  return { report, synced };
}

type Target = Parameters<typeof unpackLayer>[0]['target'];

/** Unpacks; an error of it names the layer as well as the entry: `go/00.tar.gz: etc/x: ...`. */
async function naming(layer: LayerBlob, signal: AbortSignal, fill: () => Promise<Filled>): Promise<Filled> {
  try {
    return await fill();
  } catch (error) {
    if (signal.aborted || !(error instanceof FlydError)) throw error;
    throw new FlydError(error.kind, error.code as ErrorCode, `${layer.key}: ${error.message}`, {
      op: error.op ?? 'volume.unpack',
      subject: error.subject ?? layer.key,
      hint: error.hint,
      facts: { ...error.facts, layer: layer.key, digest: layer.digest },
      cause: error.cause,
    });
  }
}

/** Adds one layer's report; a kind of warning that another layer gave too counts on. */
function addTo(report: UnpackReport, { entries, bytes, warnings }: UnpackReport): void {
  report.entries += entries;
  report.bytes += bytes;
  for (const warning of warnings) {
    const known = report.warnings.find(({ code }) => code === warning.code);
    if (known === undefined) report.warnings.push({ ...warning });
    else known.count += warning.count;
  }
}
