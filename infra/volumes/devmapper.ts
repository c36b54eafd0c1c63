import { chmod, chown, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { unrecoverable } from '#core/errors';
import type { Exec } from '../exec.ts';
import { holdersOf } from '../holders.ts';
import { mountAt, readMounts } from '../mountinfo.ts';
import { findMountPoint, prepareMountPoint, unmountActivation } from '../mounts.ts';
import { assertKernel, probeDevmapper } from './devmapper-probe.ts';
import type { Dm } from './dmsetup.ts';
import type {
  ActivationPlace,
  ActivationSpec,
  OpenVolume,
  Space,
  VolumeDriver,
  VolumeSpec,
} from './driver.ts';
import { growFileSystem, makeFileSystem } from './filesystem.ts';
import { ensureRootfs, sortIds } from './folders.ts';
import type { Pool } from './pool.ts';
import type { PoolOptions } from './pool-plan.ts';
import { metaBlockBytes } from './pool-size.ts';
import { checkWishes, unsupported } from './refuse.ts';
import { createRoomWatch } from './room-watch.ts';
import { spaceOf } from './space.ts';
import type { ThinRecord } from './thin-record.ts';
import { createThinStage, mountThin } from './thin-stage.ts';
import { createThinStore } from './thin-store.ts';

export interface DevmapperOptions {
  /** `<state>/volumes/devmapper`. */
  folder: string;
  exec: Exec;
  dm: Dm;
  pool: Pool;
  options: PoolOptions;
  privileged: boolean;
}

/** Snapshots have no depth in a thin pool, but each costs metadata: longer images become one volume. */
const layersMax = 16;
const volumeBytesDefault = 10 * 1024 ** 3;

/** Volumes and activations as devices of a thin pool, each a snapshot of the one it comes from. */
export function createDevmapperDriver({
  folder,
  exec,
  dm,
  pool,
  options,
  privileged,
}: DevmapperOptions): VolumeDriver {
  const can = { attachDevice: true, grow: true };
  const store = createThinStore({ folder, pool, dm, exec });
  const firstFs = options.fs ?? 'ext4';
  const stage = createThinStage(folder, store, pool, exec);
  const watch = createRoomWatch({ pool, dm, waitMs: options.waitMs });

  const wipe = async (id: string, op: string) => {
    await watch.letGo(id, op);
    await stage.unmount(id, op);
    await store.drop(id, op);
    watch.end(id);
  };

  /** The sealed volume to snapshot. Only an inactive one may be: else what it holds back is missing in the snapshot. */
  const sealed = async (volume: VolumeSpec, op: string): Promise<ThinRecord> => {
    const record = await store.mustHave(volume.id, op);
    if ((await stage.mounted(volume.id)) !== null)
      throw unrecoverable('volume_busy', `${volume.id} is still open`, { op, subject: volume.id });
    await store.deactivate(volume.id, op);
    return record;
  };

  const driver: VolumeDriver = {
    name: 'devmapper',
    parts: null,
    can,
    granularity: (layers) => (layers <= layersMax ? 'layer' : 'image'),
    probe: () => probeDevmapper({ dm, pool, options, privileged }),

    async ready() {
      await assertKernel(privileged);
      await pool.ready('volume.choose');
      await pool.assertHealthy('volume.choose', 'changes');
    },

    chooseDevice: (taken) => store.chooseDevice(taken, 'volume.choose'),
    chooseSize: (parentBytes) => parentBytes ?? options.volumeBytes ?? volumeBytesDefault,

    async create(volume) {
      const op = 'volume.create';
      const { device, bytes } = numbersOf(volume, op);
      const origin = volume.parent === null ? null : await sealed(volume.parent, op);
      if (origin !== null && bytes < origin.bytes)
        throw unrecoverable('driver_failed', `${volume.id} is smaller than its parent`, {
          op,
          subject: volume.id,
        });
      await wipe(volume.id, op);
      const fs = origin?.fs ?? firstFs;
      const record = await store.make({ id: volume.id, device, bytes, fs, origin }, op);
      if (origin !== null) return;
      const { record: made } = await pool.ready(op);
      const { path } = await store.activate(record, op);
      const { blockBytes, zeroing } = made;
      watch.begin(volume.id, op);
      await makeFileSystem({ fs, path, bytes, blockBytes, zeroed: zeroing }, exec, op);
    },

    async open(volume): Promise<OpenVolume> {
      const op = 'volume.unpack';
      const record = await store.mustHave(volume.id, op);
      watch.begin(volume.id, op);
      const { path, point } = await stage.mount(record, op);
      const parentBytes = volume.parent === null ? null : (await store.record(volume.parent.id))?.bytes;
      if (parentBytes !== null && parentBytes !== record.bytes)
        await growFileSystem(record.fs, path, point, exec, op);
      await rmdir(join(point, 'lost+found')).catch(() => undefined); // of no use to an image; absent in xfs
      await chmod(point, 0o700);
      await ensureRootfs(point);
      return { root: point, form: 'flat', lowers: [], privileged: true };
    },

    async close(volume) {
      const op = 'volume.seal';
      const record = await store.mustHave(volume.id, op);
      const mounted = await stage.mounted(volume.id);
      if (mounted !== null) {
        await stage.assertWritten(record, mounted, op);
        // Blocks of files that came and went would be kept by every snapshot.
        await exec('fstrim', [mounted.mountPoint], { op, subject: volume.id, timeoutMs: 10 * 60_000 }).catch(
          () => undefined,
        );
      }
      await stage.unmount(volume.id, op);
      await store.deactivate(volume.id, op);
      watch.end(volume.id);
      await pool.assertHealthy(op);
    },

    remove: (volume) => wipe(volume.id, 'volume.discard'),

    async snapshot(activation) {
      const op = 'activation.snapshot';
      checkWishes('devmapper', can, activation);
      const earlier = await store.record(activation.id);
      if (earlier?.prepared === true) return;
      const base = await sealed(activation.base, op);
      const { device, bytes } = numbersOf(
        { ...activation, sizeBytes: activation.sizeBytes ?? base.bytes },
        op,
      );
      if (bytes < base.bytes)
        throw unsupported(
          `${bytes} bytes are less than the image's ${base.bytes}`,
          activation,
          'a file system can grow only',
        );
      const record = await store.make({ id: activation.id, device, bytes, fs: base.fs, origin: base }, op);
      await prepare(record, base, activation, op);
      await store.markPrepared(record);
    },

    async mount(activation): Promise<ActivationPlace> {
      const op = 'activation.mount';
      const record = await store.mustHave(activation.id, op);
      const { suid, dev, readOnly } = activation;
      const device = await store.activate(record, op, readOnly);
      if (activation.attach === 'device') return { path: null, rootfs: null, device: device.path };
      const point = await prepareMountPoint(activation.mountPoint);
      // It may be another's from then on: what they write may wait for as long as they like.
      watch.begin(activation.id, op);
      await mountThin(device, point, record.fs, { suid, dev, readOnly }, { op, pool, exec }).finally(() =>
        watch.end(activation.id),
      );
      const path = activation.mountPoint;
      return { path, rootfs: join(path, 'rootfs'), device: device.path };
    },

    async unmount(activation) {
      const op = 'activation.unmount';
      // What is in it goes with it: that must not wait for room, and keep others from having it.
      if ((await watch.isWaiting(op)) && !(await isHeld(activation.mountPoint)))
        await watch.letGo(activation.id, op);
      await unmountActivation(activation, exec);
      await stage.unmount(activation.id, op);
      await store.deactivate(activation.id, op);
    },

    async discard(activation) {
      await driver.unmount(activation);
      await wipe(activation.id, 'activation.remove');
    },

    inventory: async () => sortIds(await store.ids()),

    async space(): Promise<Space[]> {
      const op = 'volume.choose';
      const status = await pool.status(op);
      const { blockBytes } = (await pool.ready(op)).record;
      const row = (what: string, used: number, total: number, unitBytes: number): Space => ({
        what,
        free: (total - used) * unitBytes,
        total: total * unitBytes,
        unit: 'bytes',
      });
      return [
        row('pool data', status.dataUsed, status.dataTotal, blockBytes),
        row('pool metadata', status.metaUsed, status.metaTotal, metaBlockBytes),
        ...(await spaceOf(folder)),
      ];
    },

    async assertRoom() {
      await pool.assertHealthy('volume.unpack');
    },
  };
  return driver;

  /** Grows a new activation and gives it its owner, before anybody else can have written to it. */
  async function prepare(record: ThinRecord, base: ThinRecord, { owner }: ActivationSpec, op: string) {
    const grows = record.bytes > base.bytes;
    if (grows || owner !== null) {
      watch.begin(record.id, op);
      const { path, dev, point } = await stage.mount(record, op);
      if (grows) await growFileSystem(record.fs, path, point, exec, op);
      if (owner !== null) await chown(join(point, 'rootfs'), owner.uid, owner.gid);
      await stage.assertWritten(record, { dev, mountPoint: point }, op);
    }
    await stage.unmount(record.id, op);
    await store.deactivate(record.id, op);
    watch.end(record.id);
  }
}

/** Whether a process is in what is mounted there. */
async function isHeld(path: string): Promise<boolean> {
  const point = await findMountPoint(path);
  const entry = point === null ? null : mountAt(await readMounts(), point);
  return entry !== null && (await holdersOf(entry)).length > 0;
}

/** The device id and size that the database has chosen; a sector is 512 bytes. */
function numbersOf(
  { id, device, sizeBytes }: { id: string; device: number | null; sizeBytes: number | null },
  op: string,
): { device: number; bytes: number } {
  if (device === null || sizeBytes === null)
    throw unrecoverable('driver_failed', `${id} has no device id or no size`, { op, subject: id });
  return { device, bytes: Math.ceil(sizeBytes / 4096) * 4096 };
}
