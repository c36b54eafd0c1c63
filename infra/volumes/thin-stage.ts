import { join } from 'node:path';
import { unrecoverable } from '#core/errors';
import type { Exec } from '../exec.ts';
import { type MountEntry, mountAt, readMounts } from '../mountinfo.ts';
import {
  findMountPoint,
  hasFlags,
  type MountFlags,
  makePrivate,
  mountDevice,
  mountWaitingDevice,
  prepareMountPoint,
  removeMountPoint,
  setFlags,
  unmountAt,
} from '../mounts.ts';
import { assertNoErrors, mountData } from './filesystem.ts';
import { syncFileSystem } from './folders.ts';
import type { Pool } from './pool.ts';
import type { FileSystem, ThinRecord } from './thin-record.ts';
import type { ThinStore } from './thin-store.ts';

export interface Staged {
  /** `/dev/mapper/...` and `major:minor`. */
  path: string;
  dev: string;
  /** Where it is mounted. */
  point: string;
}

/** Mounts of thin devices where only flyd looks: volumes that are filled, activations that are prepared. */
export interface ThinStage {
  /** Maps and mounts; already so is success. */
  mount(record: ThinRecord, op: string): Promise<Staged>;
  /** What is mounted for this id, or null. */
  mounted(id: string): Promise<MountEntry | null>;
  /** Throws unless all that was written is in the pool. The kernel tells a write that failed to the first who syncs, and that is us, or the filler. */
  assertWritten(record: ThinRecord, entry: { dev: string; mountPoint: string }, op: string): Promise<void>;
  /** Not mounted is success. Fails with `volume_busy`. */
  unmount(id: string, op: string): Promise<void>;
}

const flags: MountFlags = { noexec: true };

export function createThinStage(folder: string, store: ThinStore, pool: Pool, exec: Exec): ThinStage {
  const pointOf = (id: string): string => join(folder, 'mnt', id);

  return {
    async mount(record, op) {
      const device = await store.activate(record, op);
      const point = await prepareMountPoint(pointOf(record.id));
      await mountThin(device, point, record.fs, flags, { op, pool, exec });
      return { ...device, point };
    },

    async mounted(id) {
      const point = await findMountPoint(pointOf(id));
      return point === null ? null : mountAt(await readMounts(), point);
    },

    async assertWritten(record, { dev, mountPoint }, op) {
      try {
        await syncFileSystem(mountPoint, exec, op);
      } catch (error) {
        await pool.assertHealthy(op); // a full pool says more than EIO does
        throw unrecoverable('driver_failed', `what was written to ${record.id} did not reach the pool`, {
          op,
          subject: record.id,
          hint: 'a disk below the pool has failed: dmesg says which; then flyd doctor',
          cause: error,
        });
      }
      try {
        await assertNoErrors(record.fs, dev, mountPoint, op);
      } catch (error) {
        await pool.assertHealthy(op);
        throw error;
      }
      // Before anything gives blocks back: a pool that was full must not look well again.
      await pool.assertHealthy(op);
    },

    async unmount(id, op) {
      const point = await findMountPoint(pointOf(id));
      if (point === null) return;
      await unmountAt(point, { exec, op, subject: id, busy: 'volume_busy' });
      await removeMountPoint(point);
    },
  };
}

/**
 * Mounts a device at a canonical place, or sees that it is mounted there; then the flags. In an adopted pool,
 * whose writers may have to wait for room, a process of its own waits for them.
 */
export async function mountThin(
  device: { path: string; dev: string },
  point: string,
  fs: FileSystem,
  wanted: MountFlags,
  { op, pool, exec }: { op: string; pool: Pick<Pool, 'record' | 'assertHealthy'>; exec: Exec },
): Promise<void> {
  const mounted = mountAt(await readMounts(), point);
  if (mounted === null) {
    if ((await pool.record())?.kind !== 'adopted') {
      mountDevice(device.path, point, fs, wanted, mountData(fs));
      return;
    }
    try {
      await mountWaitingDevice(device.path, point, fs, wanted, mountData(fs), { exec, op });
    } catch (error) {
      await pool.assertHealthy(op); // a full pool says more than mount(8) does
      throw error;
    }
    return;
  }
  if (mounted.dev !== device.dev)
    throw unrecoverable('driver_failed', `something else is mounted at ${point}: ${mounted.source}`, {
      op,
      subject: device.path,
      hint: `umount ${point}`,
    });
  makePrivate(point); // a call that was killed may have stopped before this
  if (!hasFlags(mounted, wanted)) setFlags(point, wanted);
}
