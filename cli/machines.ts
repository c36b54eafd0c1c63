import { createHash } from 'node:crypto';
import { activationChoose } from '#actors/activation-choose';
import { activationMount } from '#actors/activation-mount';
import { activationRecord } from '#actors/activation-record';
import { activationRemove } from '#actors/activation-remove';
import { activationSnapshot } from '#actors/activation-snapshot';
import { activationUnmount } from '#actors/activation-unmount';
import { blobFetch } from '#actors/blob-fetch';
import { blobFind } from '#actors/blob-find';
import { blobRecord } from '#actors/blob-record';
import { familyPin } from '#actors/family-pin';
import { familyResolve } from '#actors/family-resolve';
import { imageCheck } from '#actors/image-check';
import { imageDrop } from '#actors/image-drop';
import { imageRegister } from '#actors/image-register';
import { imageRelease } from '#actors/image-release';
import { imageReserve, type SpaceReserve } from '#actors/image-reserve';
import { imageVerify } from '#actors/image-verify';
import { type StoreRepairDeps, storeRepair } from '#actors/store-repair';
import { storeRestore } from '#actors/store-restore';
import { storeSweep } from '#actors/store-sweep';
import { volumeChoose } from '#actors/volume-choose';
import { volumeCreate } from '#actors/volume-create';
import { volumeDiscard } from '#actors/volume-discard';
import { volumeSeal } from '#actors/volume-seal';
import { volumeUnpack } from '#actors/volume-unpack';
import type { Effect } from '#core/effect';
import type { DriverName } from '#core/image';
import type { Limits } from '#core/limits';
import { placeOf, type Source } from '#core/source';
import type { ImageStore } from '#db/images/index';
import { defineMachine } from '#engine/define';
import { activationHolders } from '#infra/activation-holders';
import { isInPlace } from '#infra/activation-place';
import type { BlobStore } from '#infra/blob-store';
import type { ImageSources } from '#infra/image-sources';
import { unpackLayer } from '#infra/layer/unpack';
import { enforceLock, lockOf, readLockFile, writeLockFile } from '#infra/lock-file';
import { readManifest } from '#infra/manifest';
import type { ObjectSource } from '#infra/object-source';
import { tellingSpace } from '#infra/telling-space';
import type { Verify } from '#infra/verifier';
import { volumeFill } from '#infra/volume-fill';
import type { Space, VolumeDriver } from '#infra/volumes/driver';
import type { PoolState } from '#infra/volumes/pool-state';
import { activateMachine } from '#machines/activate';
import { type BlobInput, blobMachine } from '#machines/blob';
import { deactivateMachine } from '#machines/deactivate';
import { type ImageInput, imageMachine } from '#machines/image';
import { pullMachine } from '#machines/pull';
import { removeMachine } from '#machines/remove';
import { repairMachine } from '#machines/repair';
import { restoreMachine } from '#machines/restore';
import { sweepMachine } from '#machines/sweep';
import { volumeMachine } from '#machines/volume';
import { asItWas, imageFrom1, pullFrom1 } from './migrations.ts';

/** Everything that actors work with. */
export interface Parts {
  images: ImageStore;
  store: BlobStore;
  storeSpace: () => Promise<Space[]>;
  objects: ObjectSource;
  sources: ImageSources;
  /** The operator's judge of images; null without one. */
  verify: Verify | null;
  drivers: (name: DriverName) => VolumeDriver;
  poolState: () => Promise<PoolState | null>;
  repairHost: StoreRepairDeps['host'];
  limits: Limits;
  reserve: SpaceReserve;
  mountRoot: string;
  /** The token of this process; known once the engine is open. */
  holder: () => string;
  isAlive: (holder: string) => boolean;
  now: () => number;
  newId: (prefix: string) => string;
}

export type Machines = ReturnType<typeof createMachines>;

/** Joins each statechart with its actors. Names and versions are stored with every run. */
export function createMachines(parts: Parts) {
  const { images: db, store, objects, sources, drivers, limits, mountRoot, isAlive, now, newId } = parts;
  const { blobs, volumes, images, activations, configs } = db;
  const told = <Input extends object, Output>(effect: Effect<Input, Output>) =>
    tellingSpace(effect, async (input) => [
      ...(await parts.storeSpace()),
      ...('driver' in input ? await drivers(input.driver as DriverName).space() : []),
    ]);

  const blob = defineMachine({
    name: 'blob',
    version: 1,
    machine: blobMachine,
    key: blobKey,
    queue: 'blob',
    actors: {
      'blob.find': blobFind({ blobs, store, now }),
      'blob.fetch': told(blobFetch({ blobs, store, objects: sources, drivers, limits, isAlive, now })),
      'blob.record': blobRecord({ blobs, store, now }),
    },
  });
  const volume = defineMachine({
    name: 'volume',
    version: 1,
    machine: volumeMachine,
    key: ({ driver, chains }) => `${driver} ${chains.at(-1) ?? ''}`,
    actors: {
      'volume.choose': volumeChoose({ volumes, drivers, now, newId }),
      'volume.create': told(volumeCreate({ volumes, drivers })),
      'volume.unpack': told(
        volumeUnpack({
          volumes,
          store,
          drivers,
          fill: volumeFill,
          unpack: unpackLayer,
          limits,
        }),
      ),
      'volume.seal': told(volumeSeal({ volumes, drivers, now })),
      'volume.discard': volumeDiscard({ volumes, drivers }),
    },
  });
  const image = defineMachine({
    name: 'image',
    version: 3,
    migrate: { 1: imageFrom1, 2: asItWas },
    machine: imageMachine,
    key: imageKey,
    actors: {
      'image.reserve': imageReserve({ ...parts, images, blobs, volumes }),
      blob,
      volume,
      'image.register': imageRegister({ images, now }),
      'image.release': imageRelease({ images }),
    },
  });
  const activate = defineMachine({
    name: 'activate',
    version: 1,
    machine: activateMachine,
    actors: {
      'activation.choose': activationChoose({ images, volumes, activations, drivers, mountRoot, now, newId }),
      'activation.snapshot': told(activationSnapshot({ activations, drivers })),
      'activation.mount': told(activationMount({ activations, drivers })),
      'activation.record': activationRecord({ activations }),
      'activation.remove': activationRemove({ activations, drivers, now }),
    },
  });
  const pull = defineMachine({
    name: 'pull',
    version: 2,
    migrate: { 1: pullFrom1 },
    machine: pullMachine,
    actors: {
      'family.resolve': familyResolve({
        objects,
        sources,
        configs,
        readManifest,
        readLock: readLockFile,
        enforceLock,
        limits,
        now,
      }),
      'image.verify': imageVerify({ verify: parts.verify }),
      'family.pin': familyPin({ readLock: readLockFile, writeLock: writeLockFile, lockOf, enforceLock }),
      image,
      activate,
    },
  });
  const deactivate = defineMachine({
    name: 'deactivate',
    version: 1,
    machine: deactivateMachine,
    key: ({ id }) => id,
    actors: {
      'activation.unmount': activationUnmount({ activations, drivers }),
      'activation.remove': activationRemove({ activations, drivers, now }),
    },
  });
  const sweep = defineMachine({
    name: 'sweep',
    version: 2,
    migrate: { 1: asItWas },
    machine: sweepMachine,
    // One that is to evict, or to look for strangers, must not join one that is not.
    key: (wish) => (Object.keys(wish).length === 0 ? 'store' : `store ${JSON.stringify(wish)}`),
    actors: {
      // The holder of its lease is this process, whose token the engine chooses after this.
      'store.sweep': (context) =>
        storeSweep({ ...db, store, drivers, mountRoot, isAlive, now, holder: parts.holder() })(context),
    },
  });
  const remove = defineMachine({
    name: 'remove',
    version: 2,
    migrate: { 1: asItWas },
    machine: removeMachine,
    key: ({ image: id }) => id,
    actors: {
      'image.check': imageCheck({ images, activations, holdersOf: activationHolders }),
      deactivate,
      'image.drop': imageDrop({ images }),
      sweep,
    },
  });
  const repair = defineMachine({
    name: 'repair',
    version: 1,
    machine: repairMachine,
    key: () => 'store',
    actors: { 'store.repair': storeRepair({ ...db, drivers, now, host: parts.repairHost }) },
  });
  const restore = defineMachine({
    name: 'restore',
    version: 1,
    machine: restoreMachine,
    key: () => 'store',
    actors: {
      'store.restore': storeRestore({ activations, drivers, isInPlace, poolState: parts.poolState, now }),
    },
  });
  return { pull, image, blob, volume, activate, deactivate, remove, sweep, restore, repair };
}

const placeText = (source: Source): string => {
  const { endpoint, bucket } = placeOf(source);
  return `${endpoint}/${bucket}`;
};

/**
 * Where the object is, and what it must be: a pull that knows the digest beforehand must not join one
 * that takes whatever comes, and the result names the object that was asked for.
 */
const blobKey = ({ source, layer: { key, etag, size, digest } }: BlobInput): string =>
  `${placeText(source)}/${key} ${etag} ${size}${digest === null ? '' : ` ${digest}`}`;

/** The driver, and everything as it was resolved: another config is another image. */
function imageKey({ driver, source, family, layers, manifest }: ImageInput): string {
  const resolved = layers.map(({ key, etag, size, digest }) => [key, etag, size, digest]);
  const prefix = source.kind === undefined ? source.prefix : '';
  const told = manifest === null ? [] : [manifest.digest];
  const hash = createHash('sha256').update(
    JSON.stringify([placeText(source), prefix, family, resolved, ...told]),
  );
  return `${driver} ${family} ${hash.digest('hex')}`;
}
