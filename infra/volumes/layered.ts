import { lchown, lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { unrecoverable } from '#core/errors';
import { renameDurably, syncDir } from '../durable.ts';
import type { Exec } from '../exec.ts';
import { type MountEntry, mountAt, readMounts } from '../mountinfo.ts';
import { hasFlags, makePrivate, prepareMountPoint, setFlags, unmountActivation } from '../mounts.ts';
import type {
  ActivationPlace,
  ActivationSpec,
  DriverName,
  LayerParts,
  OpenVolume,
  Support,
  VolumeDriver,
  VolumeSpec,
} from './driver.ts';
import { checkId, ensurePrivate, exists, idsIn, removeTree, sortIds } from './folders.ts';
import { mountOverlay, type OverlayMethod } from './overlay-mount.ts';
import { checkWishes } from './refuse.ts';
import { spaceOf } from './space.ts';

export interface LayeredOptions {
  /** `<state>/volumes/<driver>`. */
  folder: string;
  exec: Exec;
  privileged: boolean;
  /** For tests: the ways to mount an overlay, in order. */
  methods?: readonly OverlayMethod[] | undefined;
}

/** What a layer's volume is, for a driver that keeps one for each layer. */
export interface LayerKind {
  name: DriverName;
  parts?: LayerParts;
  probe(): Promise<Support>;
  /** Puts into the volume's new folder what must be there before it is filled. */
  prepare(root: string): Promise<unknown>;
  /** How to fill the volume in `root`, over the folders of the volumes below, nearest first. */
  open(root: string, below: readonly string[]): OpenVolume;
  /**
   * Makes the volumes (their folders, nearest first) readable as folders that hold `rootfs/`, for as long as
   * `use` takes: an overlay holds on to what it was mounted over. Gives `use` fds of them, or their names
   * relative to the driver's folder, below `place` where they must be made. Calls it again in the other way
   * when the kernel does not take the first.
   */
  withFolders(
    roots: readonly string[],
    place: string,
    use: (lowers: readonly (string | number)[]) => Promise<void>,
  ): Promise<void>;
  /** Takes away what a killed `withFolders` left below `place`. */
  tidy(place: string): Promise<void>;
}

/**
 * A volume for each layer, in overlayfs' own form; an activation is an overlay mount over its chain. The
 * folders that are joined hold `rootfs/`, so the mount does too.
 */
export function createLayeredDriver(kind: LayerKind, options: LayeredOptions): VolumeDriver {
  const { folder, exec, privileged, methods } = options;
  const { name } = kind;
  let isUsable = false;
  const can = { attachDevice: false, grow: false };
  const placeOf = (id: string): string => {
    checkId(id);
    return join(folder, id);
  };

  const wipe = async (id: string, op: string) => {
    await removeTree(placeOf(id), { exec, op, privileged });
    await removeTree(`${placeOf(id)}.tmp`, { exec, op, privileged });
  };

  /** Makes the folder `id` whole or not at all; `fill` puts into a temp folder what belongs there. */
  const make = async (id: string, fill: (temp: string) => Promise<unknown>) => {
    await ensurePrivate(folder);
    const temp = `${placeOf(id)}.tmp`;
    await mkdir(temp, { mode: 0o700 });
    await fill(temp);
    await syncDir(temp);
    await renameDurably(temp, placeOf(id));
  };

  const mustExist = async (id: string, op: string) => {
    if (!(await exists(placeOf(id))))
      throw unrecoverable('volume_missing', `${placeOf(id)} is not there`, {
        op,
        subject: id,
        hint: 'pull the image again',
      });
  };

  const driver: VolumeDriver = {
    name,
    parts: kind.parts ?? null,
    can,
    granularity: () => 'layer',
    probe: () => kind.probe(),

    async ready() {
      // A kernel does not unlearn: it is asked once, for each activation comes here three times.
      const support = isUsable ? null : await kind.probe();
      if (support?.usable === false)
        throw unrecoverable('driver_unavailable', support.reason, {
          subject: name,
          hint: support.fix ?? undefined,
        });
      isUsable = true;
      await ensurePrivate(folder);
    },

    chooseDevice: async () => null,
    chooseSize: () => null,

    async create(volume) {
      await wipe(volume.id, 'volume.create');
      await make(volume.id, (root) => kind.prepare(root));
    },

    async open(volume): Promise<OpenVolume> {
      await mustExist(volume.id, 'volume.unpack');
      const root = placeOf(volume.id);
      await kind.prepare(root);
      return kind.open(
        root,
        chainOf(volume.parent).map((below) => placeOf(below.id)),
      );
    },

    async close(volume) {
      await mustExist(volume.id, 'volume.seal');
      await syncDir(placeOf(volume.id));
    },

    remove: (volume) => wipe(volume.id, 'volume.discard'),

    async snapshot(activation) {
      const op = 'activation.snapshot';
      checkWishes(name, can, activation);
      for (const volume of chainOf(activation.base)) await mustExist(volume.id, op);
      if (await exists(placeOf(activation.id))) return;
      await removeTree(`${placeOf(activation.id)}.tmp`, { exec, op, privileged });
      await make(activation.id, async (temp) => {
        // The root of the mount has the mode of upper: nobody else gets through it.
        await mkdir(join(temp, 'upper'), { mode: 0o700 });
        await mkdir(join(temp, 'work'), { mode: 0o700 });
      });
    },

    async mount(activation): Promise<ActivationPlace> {
      const op = 'activation.mount';
      await mustExist(activation.id, op);
      const point = await prepareMountPoint(activation.mountPoint);
      const { suid, dev, readOnly } = activation;
      const mounted = mountAt(await readMounts(), point);
      if (mounted === null) {
        const roots = chainOf(activation.base).map((volume) => placeOf(volume.id));
        const overlay = {
          source: sourceOf(activation),
          target: point,
          folder,
          upper: `${activation.id}/upper`,
          work: `${activation.id}/work`,
          flags: { suid, dev },
        };
        await kind.withFolders(roots, placeOf(activation.id), (lowers) =>
          mountOverlay({ ...overlay, lowers }, exec, op, methods),
        );
      } else {
        checkOurs(mounted, activation);
        makePrivate(point); // a call that was killed may have stopped before this
        await kind.tidy(placeOf(activation.id));
      }
      await setOwner(join(point, 'rootfs'), activation);
      const now = mountAt(await readMounts(), point);
      if (now !== null && !hasFlags(now, { suid, dev, readOnly })) setFlags(point, { suid, dev, readOnly });
      const path = activation.mountPoint;
      return { path, rootfs: join(path, 'rootfs'), device: null };
    },

    unmount: (activation) => unmountActivation(activation, exec),

    async discard(activation) {
      await driver.unmount(activation);
      await kind.tidy(placeOf(activation.id));
      await wipe(activation.id, 'activation.remove');
    },

    inventory: async () => sortIds(await idsIn(folder)),
    space: () => spaceOf(folder),
  };
  return driver;
}

/** The volume and all below it, nearest first. */
function chainOf(volume: VolumeSpec | null): VolumeSpec[] {
  const chain: VolumeSpec[] = [];
  for (let at = volume; at !== null; at = at.parent) chain.push(at);
  return chain;
}

const sourceOf = ({ id }: ActivationSpec): string => `flyd-${id}`;

function checkOurs(mounted: MountEntry, activation: ActivationSpec): void {
  if (mounted.fstype === 'overlay' && mounted.source === sourceOf(activation)) return;
  throw unrecoverable(
    'driver_failed',
    `something else is mounted at ${mounted.mountPoint}: ${mounted.source}`,
    {
      op: 'activation.mount',
      subject: activation.id,
      hint: `umount ${mounted.mountPoint}`,
    },
  );
}

/** Changes the owner once, while the mount is still writable: a second call finds it done. */
async function setOwner(rootfs: string, { owner }: ActivationSpec): Promise<void> {
  if (owner === null) return;
  const now = await lstat(rootfs);
  if (now.uid !== owner.uid || now.gid !== owner.gid) await lchown(rootfs, owner.uid, owner.gid);
}
