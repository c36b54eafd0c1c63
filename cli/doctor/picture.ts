import { basename, dirname, join } from 'node:path';
import { differences } from '#core/blob-files';
import { type DriverName, driverNames } from '#core/image';
import type { Picture, World } from '#core/invariants';
import { mountPointsOf, takeCensus } from '#db/images/census';
import type { openDatabase } from '#db/open';
import type { BlobStore, Measuring } from '#infra/blob-store';
import type { Exec } from '#infra/exec';
import { mountsUnder, readMounts } from '#infra/mountinfo';
import { findMountPoint } from '#infra/mounts';
import type { Drivers } from '#infra/volumes/index';
import { lookAtPool } from '#infra/volumes/pool-look';

export interface PictureParts {
  store: Pick<BlobStore, 'listPartials'>;
  /** A look at all blobs, begun before: threads are at it while the rest is looked at. */
  measuring: Measuring;
  db: ReturnType<typeof openDatabase>;
  drivers: Drivers;
  exec: Exec;
  stateDir: string;
  mountRoot: string;
}

const idPattern = /^(vol|act)-[0-9a-f]{16}$/;

/**
 * What the world and the database look like now. The world first: rows come before things, and go after them.
 * Not so of blobs, where either order takes what moves meanwhile for wrong: who looks again sees.
 */
export async function takePicture(parts: PictureParts): Promise<Picture> {
  const { db, store, stateDir, exec, drivers, mountRoot } = parts;
  const world: Omit<World, 'blobs'> = {
    partials: (await store.listPartials()).map(({ id }) => id),
    inventory: await inventories(drivers),
    mounted: await mountedIds(mountRoot, mountPointsOf(db)),
    pool: await lookAtPool(stateDir, exec, 'doctor'),
  };
  const { blobRecords, ...census } = takeCensus(db);
  const { names, sizes } = await parts.measuring();
  const { files, rows } = differences(names, sizes, blobRecords);
  return { world: { ...world, blobs: files }, census: { ...census, blobs: rows } };
}

async function inventories(drivers: Drivers): Promise<World['inventory']> {
  const found = await Promise.all(
    driverNames.map(async (name) => [name, await drivers.byName[name].inventory()] as const),
  );
  return Object.fromEntries(found) as Record<DriverName, Awaited<(typeof found)[number]>[1]>;
}

/** The ids of activations that are mounted, one for each mount: below the mount root, and where rows say. */
async function mountedIds(
  mountRoot: string,
  activations: ReturnType<typeof mountPointsOf>,
): Promise<string[]> {
  const mounts = await readMounts();
  const canonical = new Map<string, string>();
  const folders = new Map<string, Promise<string | null>>();
  for (const { id, mountPoint } of activations) {
    // Nearly all are in one folder, and only that one can be a link.
    const folder = dirname(mountPoint);
    const found = folders.get(folder) ?? findMountPoint(mountPoint).then((point) => point && dirname(point));
    folders.set(folder, found);
    const place = await found;
    if (place !== null) canonical.set(join(place, basename(mountPoint)), id);
  }
  const root = await findMountPoint(mountRoot);
  const strangers = root === null ? [] : mountsUnder(mounts, root);
  for (const { mountPoint } of strangers)
    if (idPattern.test(basename(mountPoint)) && !canonical.has(mountPoint))
      canonical.set(mountPoint, basename(mountPoint));
  return mounts.flatMap(({ mountPoint }) => canonical.get(mountPoint) ?? []);
}
