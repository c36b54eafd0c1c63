import { join } from 'node:path';
import type { Exec } from '../exec.ts';
import { createBtrfsDriver } from './btrfs.ts';
import { createBtrfsPlace } from './btrfs-place.ts';
import { type Choice, chooseDriver } from './choose.ts';
import { createCopyDriver } from './copy.ts';
import { createDevmapperDriver } from './devmapper.ts';
import { createDm } from './dmsetup.ts';
import type { DriverName, VolumeDriver } from './driver.ts';
import { createErofsDriver } from './erofs.ts';
import { createLoops } from './loop.ts';
import { createOverlayDriver } from './overlay.ts';
import type { OverlayMethod } from './overlay-mount.ts';
import { createPool } from './pool.ts';
import { asksForPool, type PoolOptions } from './pool-plan.ts';
import type { PoolLog } from './pool-set-up.ts';
import { isPrivileged } from './privilege.ts';

export type { Choice, Rejected } from './choose.ts';
export type { PoolOptions } from './pool-plan.ts';

export interface DriversOptions {
  /** Canonical path of the state directory. */
  stateDir: string;
  exec: Exec;
  pool?: PoolOptions | undefined;
  log?: PoolLog | undefined;
  /** For tests: the ways to mount an overlay, in order. */
  overlayMethods?: readonly OverlayMethod[] | undefined;
}

export interface Drivers {
  readonly byName: Readonly<Record<DriverName, VolumeDriver>>;
  /** The driver that was asked for, or the best one for `auto`. Fails with `driver_unavailable`. */
  choose(wanted: DriverName | 'auto'): Promise<Choice>;
}

/** All drivers of a state directory. Makes and looks at nothing but this process's own rights. */
export async function createDrivers(options: DriversOptions): Promise<Drivers> {
  const { stateDir, exec, pool: poolOptions = {}, log } = options;
  const privileged = await isPrivileged();
  const folderOf = (name: DriverName): string => join(stateDir, 'volumes', name);
  const dm = createDm({ exec });
  const loops = createLoops(exec);
  const pool = createPool({
    folder: join(stateDir, 'pool'),
    options: poolOptions,
    exec,
    dm,
    loops,
    log,
  });
  const byName = {
    devmapper: createDevmapperDriver({
      folder: folderOf('devmapper'),
      exec,
      dm,
      pool,
      options: poolOptions,
      privileged,
    }),
    btrfs: createBtrfsDriver({
      folder: folderOf('btrfs'),
      place: createBtrfsPlace({
        folder: folderOf('btrfs'),
        poolFolder: join(stateDir, 'pool'),
        exec,
        loops,
        imageBytes: poolOptions.dataBytes,
      }),
      exec,
      privileged,
    }),
    erofs: createErofsDriver({
      folder: folderOf('erofs'),
      partsFolder: join(stateDir, 'parts', 'erofs'),
      exec,
      privileged,
      methods: options.overlayMethods,
    }),
    overlay: createOverlayDriver({
      folder: folderOf('overlay'),
      partsFolder: join(stateDir, 'parts', 'overlay'),
      exec,
      privileged,
      methods: options.overlayMethods,
    }),
    copy: createCopyDriver({ folder: folderOf('copy'), exec, privileged }),
  };
  return {
    byName,
    choose: async (wanted) =>
      chooseDriver(byName, wanted, asksForPool(poolOptions) || (await pool.record()) !== null),
  };
}
