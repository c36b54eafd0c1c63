import { basename, join } from 'node:path';
import type { StoreRepairDeps } from '#actors/store-repair';
import type { Exec } from '#infra/exec';
import { mountsUnder, readMounts } from '#infra/mountinfo';
import { findMountPoint, removeMountPoint, unmountAt } from '#infra/mounts';
import { checkAiling } from '#infra/volumes/ailing';
import { growPool, type PoolSizes } from '#infra/volumes/pool-grow';
import { lookAtPool } from '#infra/volumes/pool-look';
import { repairPool } from '#infra/volumes/pool-repair';
import { detachStaleLoops, unmapStrays } from '#infra/volumes/pool-strays';

export interface RepairHostOptions {
  stateDir: string;
  mountRoot: string;
  exec: Exec;
  /** How large a pool of loop files shall be at least. */
  sizes: PoolSizes;
}

const idPattern = /^act-[0-9a-f]{16}$/;

/** What a repair may do to this host. */
export function createRepairHost({
  stateDir,
  mountRoot,
  exec,
  sizes,
}: RepairHostOptions): StoreRepairDeps['host'] {
  const op = 'store.repair';
  return {
    detachStaleLoops: () => detachStaleLoops(stateDir, exec),
    growPool: () => growPool(stateDir, exec, sizes),
    checkAiling: () => checkAiling(stateDir, exec),
    repairPool: () => repairPool(stateDir, exec),
    lookAtPool: () => lookAtPool(stateDir, exec, op),
    unmapStrays: (ids) => unmapStrays(stateDir, ids, exec),
    async mounted() {
      const root = await findMountPoint(mountRoot);
      const names =
        root === null ? [] : mountsUnder(await readMounts(), root).map((m) => basename(m.mountPoint));
      return [...new Set(names.filter((name) => idPattern.test(name)))];
    },
    async unmountStray(id) {
      const point = await findMountPoint(join(mountRoot, id));
      if (point === null) return [];
      await unmountAt(point, { exec, op, subject: `the mount ${point}`, busy: 'activation_busy' });
      await removeMountPoint(point);
      return [`unmounted ${point}: no activation has this id`];
    },
  };
}
