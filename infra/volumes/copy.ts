import { chmod, chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { unrecoverable } from '#core/errors';
import { fileError, renameDurably, syncDir } from '../durable.ts';
import type { Exec } from '../exec.ts';
import { describeHolders, holdersOfFolder } from '../holders.ts';
import { prepareMountPoint, unmountActivation } from '../mounts.ts';
import { bindAt } from './bind.ts';
import type { ActivationPlace, OpenVolume, Support, VolumeDriver, VolumeSpec } from './driver.ts';
import {
  checkId,
  copyTree,
  ensurePrivate,
  ensureRootfs,
  exists,
  idsIn,
  removeTree,
  sortIds,
} from './folders.ts';
import { checkWishes, unsupported } from './refuse.ts';
import { fileSystemOf, spaceOf } from './space.ts';

export interface CopyOptions {
  /** `<state>/volumes/copy`. */
  folder: string;
  exec: Exec;
  /** Root: keeps owners and mounts activations. Without: nothing is mounted. */
  privileged: boolean;
}

/**
 * Volumes and activations as plain folders, each a copy of the one it comes from, with shared blocks
 * where the file system can. Works anywhere, also without root.
 */
export function createCopyDriver({ folder, exec, privileged }: CopyOptions): VolumeDriver {
  const can = { attachDevice: false, grow: false };
  const placeOf = (id: string): string => {
    checkId(id);
    return join(folder, id);
  };
  const tree = (op: string) => ({ exec, op, privileged });

  /** Makes `id` from `base`, or empty, under a temp name first: a folder of that name is always whole. */
  const make = async (
    id: string,
    base: string | null,
    op: string,
    finish?: (temp: string) => Promise<void>,
  ) => {
    await ensurePrivate(folder);
    const temp = `${placeOf(id)}.tmp`;
    await removeTree(temp, tree(op));
    if (base === null) {
      await mkdir(temp, { mode: 0o700 });
    } else {
      if (!(await exists(join(base, 'rootfs'))))
        throw unrecoverable('volume_missing', `${base} is not there`, {
          op,
          subject: base,
          hint: 'pull the image again',
        });
      await copyTree(base, temp, tree(op));
    }
    await chmod(temp, 0o700);
    await ensureRootfs(temp);
    await finish?.(temp);
    await syncDir(temp);
    await renameDurably(temp, placeOf(id));
  };

  const wipe = async (id: string, op: string) => {
    await removeTree(placeOf(id), tree(op));
    await removeTree(`${placeOf(id)}.tmp`, tree(op));
  };

  const driver: VolumeDriver = {
    name: 'copy',
    parts: null,
    can,
    granularity: () => 'image',

    async probe(): Promise<Support> {
      const kind = await fileSystemOf(folder);
      const warnings = kind.reflink
        ? []
        : ['every activation is a full copy of its image (no shared blocks here)'];
      if (!privileged)
        warnings.push(
          'without root: owners are recorded but not set, devices are skipped, setuid is cleared, nothing is mounted',
        );
      return { usable: true, reason: 'plain folders work everywhere', fix: null, warnings };
    },
    ready: () => ensurePrivate(folder),
    chooseDevice: async () => null,
    chooseSize: () => null,

    async create(volume) {
      const op = 'volume.create';
      await wipe(volume.id, op);
      await make(volume.id, volume.parent === null ? null : placeOf(volume.parent.id), op);
    },

    async open(volume): Promise<OpenVolume> {
      const root = placeOf(volume.id);
      await mustExist(root, volume, 'volume.unpack');
      await ensureRootfs(root);
      return { root, form: 'flat', lowers: [], privileged };
    },

    async close(volume) {
      await mustExist(placeOf(volume.id), volume, 'volume.seal');
      await syncDir(placeOf(volume.id));
    },

    remove: (volume) => wipe(volume.id, 'volume.discard'),

    async snapshot(activation) {
      const op = 'activation.snapshot';
      checkWishes('copy', can, activation);
      if (activation.readOnly && !privileged)
        throw unsupported('read-only needs a mount, and a mount needs root', activation, 'run as root');
      if (activation.owner !== null && !privileged)
        throw unsupported('only root can set the owner', activation, 'run as root');
      if (await exists(placeOf(activation.id))) return;
      const { owner } = activation;
      await make(activation.id, placeOf(activation.base.id), op, async (temp) => {
        if (owner !== null) await chown(join(temp, 'rootfs'), owner.uid, owner.gid);
      });
    },

    async mount(activation): Promise<ActivationPlace> {
      const op = 'activation.mount';
      const source = placeOf(activation.id);
      if (!(await exists(source)))
        throw unrecoverable('volume_missing', `${source} is not there`, { op, subject: activation.id });
      if (!privileged) return { path: null, rootfs: join(source, 'rootfs'), device: null };
      await bindAt(await prepareMountPoint(activation.mountPoint), source, activation, op);
      const path = activation.mountPoint;
      return { path, rootfs: join(path, 'rootfs'), device: null };
    },

    async unmount(activation) {
      if (privileged) return unmountActivation(activation, exec);
      const op = 'activation.unmount';
      const subject = `activation ${activation.id}`;
      const holders = await holdersOfFolder(placeOf(activation.id));
      if (holders.length > 0)
        throw unrecoverable('activation_busy', `${subject} is held by ${describeHolders(holders)}`, {
          op,
          subject,
          hint: 'end or leave what holds it, then try again',
          facts: { holders: holders.map((h) => h.pid).join(' ') },
        });
    },

    async discard(activation) {
      await driver.unmount(activation);
      await wipe(activation.id, 'activation.remove');
    },

    inventory: async () => sortIds(await idsIn(folder)),
    space: () => spaceOf(folder),
  };
  return driver;
}

async function mustExist(root: string, volume: VolumeSpec, op: string): Promise<void> {
  const found = await exists(root).catch((error: unknown) => {
    throw fileError(error, 'look at', root);
  });
  if (!found) throw unrecoverable('volume_missing', `${root} is not there`, { op, subject: volume.id });
}
