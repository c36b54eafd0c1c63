import { chainIds } from '#core/chain';
import type { Effect } from '#core/effect';
import { unrecoverable } from '#core/errors';
import type { DiffId } from '#core/ids';
import type { DriverName } from '#core/image';
import type { Blobs, Images, Volumes } from '#db/images/index';
import type { BlobStore } from '#infra/blob-store';
import type { Space, VolumeDriver } from '#infra/volumes/driver';
import type { ImageInput, ReservedImage } from '#machines/image';

/** How much must stay free of whatever a pull uses up. */
export interface SpaceReserve {
  /** Part of the whole, from 0 to 1. */
  fraction: number;
  /** Where that part would be more bytes than this, this is enough. */
  bytesMax: number;
}

export interface ImageReserveDeps {
  images: Pick<Images, 'reserve'>;
  blobs: Pick<Blobs, 'locate'>;
  volumes: Pick<Volumes, 'sealed'>;
  store: Pick<BlobStore, 'findWhole'>;
  drivers: (name: DriverName) => Pick<VolumeDriver, 'ready' | 'space' | 'granularity'>;
  /** What the blob store could run out of. */
  storeSpace: () => Promise<Space[]>;
  reserve: SpaceReserve;
  now: () => number;
  newId: (prefix: string) => string;
}

/**
 * **Does**: makes the driver ready, refuses the pull when what it needs would leave too little free
 * (blob store, pool data and metadata, inodes), and commits the image's id.
 * **Safe to repeat because**: the same effect gets the same row; looking at space changes nothing.
 * **If killed**: a row 'incomplete' may be left, which the run finds again, or the next sweep drops.
 * **Fails with**: `no_space` (with figures), `driver_unavailable`, `pool_missing`, `pool_refused`,
 * `pool_broken`, `database_failed`.
 */
export const imageReserve =
  (deps: ImageReserveDeps): Effect<ImageInput, ReservedImage> =>
  async ({ input, signal, effectId }) => {
    signal.throwIfAborted();
    const driver = deps.drivers(input.driver);
    await driver.ready();
    signal.throwIfAborted();
    const need = await estimate(deps, input);
    const driverSpace = await driver.space();
    const needOf = driverNeed(driverSpace, need);
    for (const row of driverSpace) refuseWithout(row, needOf(row), deps.reserve);
    for (const row of await deps.storeSpace()) {
      const besides = driverSpace.filter((other) => other.unit === row.unit && other.total === row.total);
      // Two file systems of the same size to the byte are one: their needs add up.
      const shared = Math.max(0, ...besides.map(needOf));
      refuseWithout(row, storeNeed(row, need) + shared, deps.reserve);
    }
    signal.throwIfAborted();
    const { family, source } = input;
    const image = { id: deps.newId('img'), family, source, driver: input.driver, effect: effectId };
    const { id } = deps.images.reserve(image, deps.now());
    return { id, granularity: driver.granularity(input.layers.length) };
  };

interface Need {
  /** Bytes to download. */
  fetch: number;
  /** Bytes to unpack. */
  unpack: number;
  /** Layers that are not in a sealed volume yet. */
  layers: number;
}

/** Uncompressed to compressed bytes of common images: 3.2 for Debian's; a pull must not starve on a good layer. */
const inflation = 4;
/** Bytes of content for each inode of common images: 41 KiB for Debian's, ext4 makes one for each 16. */
const bytesPerInode = 16 * 1024;
/** File system metadata, and blocks that are not full. */
const overhead = 1.1;
/** dm-thin's metadata for each byte of data at 64 KiB blocks: 48 bytes a block (thin-provisioning.rst). */
const metadataPerByte = 48 / (64 * 1024);
/** The tree of a thin device that holds nothing yet. */
const metadataPerVolume = 64 * 1024;

/** What is still to be fetched and unpacked, as far as one can tell before the download. */
async function estimate(
  { blobs, volumes, store }: ImageReserveDeps,
  { source, layers, driver }: ImageInput,
): Promise<Need> {
  const known = layers.map((layer) => blobs.locate(source, layer));
  const diffIds: DiffId[] = [];
  for (const blob of known) {
    if (blob === null) break;
    diffIds.push(blob.diffId);
  }
  const unpacked = chainIds(diffIds).findLastIndex((chain) => volumes.sealed(driver, chain) !== null) + 1;
  const need: Need = { fetch: 0, unpack: 0, layers: layers.length - unpacked };
  for (const [position, layer] of layers.entries()) {
    const blob = known[position] ?? null;
    const whole = blob !== null && (await store.findWhole(blob.digest, blob.size)) !== null;
    if (!whole) need.fetch += layer.size;
    if (position >= unpacked) need.unpack += blob?.rawSize ?? layer.size * inflation;
  }
  return need;
}

/** What the driver's volumes will take of each of its resources. With a pool, they take nothing besides. */
function driverNeed(space: readonly Space[], { unpack, layers }: Need): (row: Space) => number {
  const isPool = ({ what }: Space) => what.startsWith('pool ');
  const hasPool = space.some(isPool);
  return (row) => {
    if (hasPool && !isPool(row)) return 0;
    if (row.unit === 'inodes') return unpack / bytesPerInode;
    if (row.what !== 'pool metadata') return unpack * overhead;
    return layers === 0 ? 0 : unpack * metadataPerByte + layers * metadataPerVolume;
  };
}

/** What the blob store will take. */
const storeNeed = ({ unit }: Space, { fetch, layers }: Need): number =>
  unit === 'bytes' ? fetch : fetch > 0 ? layers : 0;

function refuseWithout({ what, free, total, unit }: Space, need: number, reserve: SpaceReserve): void {
  const part = reserve.fraction * total;
  const keep = Math.ceil(unit === 'bytes' ? Math.min(part, reserve.bytesMax) : part);
  const needed = Math.ceil(need);
  if (needed === 0 || free - needed >= keep) return;
  const show = unit === 'bytes' ? mebibytes : (count: number) => `${count} inodes`;
  throw unrecoverable(
    'no_space',
    `${what}: the pull needs about ${show(needed)}, ${show(free)} are free, ${show(keep)} must stay free`,
    {
      op: 'image.reserve',
      subject: what,
      hint: 'remove images (flyd rm) and run flyd gc, or make it larger',
      facts: { needed, free, total, keep, unit },
    },
  );
}

const mebibytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
