import type { Database } from 'better-sqlite3';
import { type Activations, createActivations } from './activations.ts';
import { type Blobs, createBlobs } from './blobs.ts';
import { type Configs, createConfigs } from './configs.ts';
import { createEvictions, type Evictions } from './eviction.ts';
import { createImages, type Images } from './images.ts';
import { createLeases, type Leases } from './leases.ts';
import { createLiveRuns } from './live-runs.ts';
import { createRepairs, type Repairs } from './repairs.ts';
import { createRestored, type Restored } from './restored.ts';
import { createSweeps, type Sweeps } from './sweep.ts';
import { createVolumes, type Volumes } from './volumes.ts';

export type {
  ActivationRow,
  Activations,
  ActivationTree,
  ActivationView,
  NewActivation,
} from './activations.ts';
export { backUp, markBackup } from './backup.ts';
export { type BlobView, listBlobs } from './blob-list.ts';
export type { BlobFacts, Blobs } from './blobs.ts';
export type { Configs } from './configs.ts';
export type { Eviction, Evictions, EvictionWish } from './eviction.ts';
export type { CompleteImage, ImageLayerView, ImageRow, ImageSummary, Images, ImageView } from './images.ts';
export { type LeaseClaim, type LeaseHold, type Leases, sweepLease } from './leases.ts';
export type { LostVolumes, Repairs } from './repairs.ts';
export type { Restored } from './restored.ts';
export { imageSet } from './set.ts';
export { downloadIdOf, type ObjectAt, type SourceIdentity } from './sources.ts';
export type { Sweeps } from './sweep.ts';
export type { NewVolume, VolumePlan, VolumeRow, Volumes, VolumeTree } from './volumes.ts';

export interface ImageStore {
  blobs: Blobs;
  volumes: Volumes;
  images: Images;
  configs: Configs;
  activations: Activations;
  leases: Leases;
  sweeps: Sweeps;
  evictions: Evictions;
  repairs: Repairs;
  restored: Restored;
}

/** Everything that is known of images, over a database opened with the engine's set and `imageSet`. */
export function createImageStore(db: Database): ImageStore {
  const live = createLiveRuns(db);
  const leases = createLeases(db);
  const blobs = createBlobs(db, live, leases);
  const volumes = createVolumes(db, live);
  const configs = createConfigs(db, live);
  const images = createImages(db, { live, blobs, volumes, configs });
  return {
    blobs,
    volumes,
    images,
    configs,
    activations: createActivations(db, live, volumes),
    leases,
    sweeps: createSweeps(db, live),
    evictions: createEvictions(db, live),
    repairs: createRepairs(db),
    restored: createRestored(db),
  };
}
