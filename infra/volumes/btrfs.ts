import { chmod, chown, readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { unrecoverable } from '#core/errors';
import { renameDurably } from '../durable.ts';
import { type Exec, findCommand } from '../exec.ts';
import { prepareMountPoint, unmountActivation } from '../mounts.ts';
import { bindAt } from './bind.ts';
import type { BtrfsPlace } from './btrfs-place.ts';
import type { ActivationPlace, OpenTree, Support, VolumeDriver } from './driver.ts';
import { checkId, ensureRootfs, exists, idsIn, sortIds, syncFileSystem } from './folders.ts';
import { moduleAvailable } from './kernel.ts';
import { checkWishes } from './refuse.ts';
import { spaceOf } from './space.ts';

export interface BtrfsOptions {
  /** `<state>/volumes/btrfs`. */
  folder: string;
  place: BtrfsPlace;
  exec: Exec;
  privileged: boolean;
}

const timeoutMs = 10 * 60_000;

/** Volumes and activations as btrfs subvolumes, each a snapshot of the one it comes from; a sealed one is read-only. */
export function createBtrfsDriver({ folder, place, exec, privileged }: BtrfsOptions): VolumeDriver {
  const can = { attachDevice: false, grow: false };
  const placeOf = (id: string): string => {
    checkId(id);
    return join(folder, id);
  };
  const btrfs = (args: string[], subject: string, op: string) =>
    exec('btrfs', args, { op, subject, timeoutMs });

  const mustExist = async (id: string, op: string): Promise<string> => {
    const path = placeOf(id);
    if (await exists(path)) return path;
    throw unrecoverable('volume_missing', `${path} is not there`, {
      op,
      subject: id,
      hint: 'pull the image again',
    });
  };

  const drop = async (path: string, op: string) => {
    if (!(await exists(path))) return;
    await dropNested(path, op);
    // With the commit: else a power cut could bring it back after its row is gone.
    await btrfs(['subvolume', 'delete', '--commit-after', path], path, op);
  };

  /** Whoever had the activation may have made subvolumes in it, and one with others inside cannot go. */
  const dropNested = async (path: string, op: string) => {
    const { stdout } = await btrfs(['subvolume', 'list', '-o', path], path, op);
    const inside = [...stdout.matchAll(/ path (.+)$/gm)].map(([, name = '']) => name);
    const base = path.slice(folder.length + 1);
    for (const name of inside.sort().reverse()) {
      const at = name.indexOf(`${base}/`);
      if (at >= 0) await drop(join(folder, name.slice(at)), op);
    }
  };

  const wipe = async (id: string, op: string) => {
    await drop(`${placeOf(id)}.tmp`, op);
    await drop(placeOf(id), op);
  };

  const driver: VolumeDriver = {
    name: 'btrfs',
    parts: null,
    can,
    granularity: () => 'layer',
    probe: () => probe(place, privileged),

    async ready() {
      const support = await probe(place, privileged);
      if (!support.usable)
        throw unrecoverable('driver_unavailable', support.reason, {
          subject: 'btrfs',
          hint: support.fix ?? undefined,
        });
      await place.ready('volume.choose');
    },

    chooseDevice: async () => null,
    chooseSize: () => null,

    async create(volume) {
      const op = 'volume.create';
      await wipe(volume.id, op);
      const path = placeOf(volume.id);
      if (volume.parent === null) await btrfs(['subvolume', 'create', path], path, op);
      else await btrfs(['subvolume', 'snapshot', await mustExist(volume.parent.id, op), path], path, op);
      await chmod(path, 0o700);
      await ensureRootfs(path);
      await syncFileSystem(path, exec, op);
    },

    async open(volume): Promise<OpenTree> {
      const root = await mustExist(volume.id, 'volume.unpack');
      await btrfs(['property', 'set', '-t', 'subvol', root, 'ro', 'false'], root, 'volume.unpack');
      await ensureRootfs(root);
      return { root, form: 'flat', lowers: [], privileged };
    },

    async close(volume) {
      const op = 'volume.seal';
      const path = await mustExist(volume.id, op);
      await syncFileSystem(path, exec, op);
      await btrfs(['property', 'set', '-t', 'subvol', path, 'ro', 'true'], path, op);
      await syncFileSystem(path, exec, op);
    },

    remove: (volume) => wipe(volume.id, 'volume.discard'),

    async snapshot(activation) {
      const op = 'activation.snapshot';
      checkWishes('btrfs', can, activation);
      const base = await mustExist(activation.base.id, op);
      const path = placeOf(activation.id);
      if (await exists(path)) return;
      const temp = `${path}.tmp`;
      await drop(temp, op);
      await btrfs(['subvolume', 'snapshot', base, temp], temp, op);
      const { owner } = activation;
      if (owner !== null) await chown(join(temp, 'rootfs'), owner.uid, owner.gid);
      await syncFileSystem(temp, exec, op);
      await renameDurably(temp, path);
    },

    async mount(activation): Promise<ActivationPlace> {
      const op = 'activation.mount';
      const source = await mustExist(activation.id, op);
      await bindAt(await prepareMountPoint(activation.mountPoint), source, activation, op);
      const path = activation.mountPoint;
      return { path, rootfs: join(path, 'rootfs'), device: null };
    },

    unmount: (activation) => unmountActivation(activation, exec),

    async discard(activation) {
      await driver.unmount(activation);
      await wipe(activation.id, 'activation.remove');
    },

    inventory: async () => sortIds(await idsIn(folder)),
    space: () => spaceOf(folder),
  };
  return driver;
}

async function probe(place: BtrfsPlace, privileged: boolean): Promise<Support> {
  const no = (reason: string, fix: string | null): Support => ({ usable: false, reason, fix, warnings: [] });
  if (!privileged) return no('snapshots of subvolumes need root', 'run as root, or use --driver copy');
  const known = /\tbtrfs$/m.test(await readFile('/proc/filesystems', 'utf8'));
  if (!known && !(await moduleAvailable('btrfs')))
    return no(`the kernel ${release()} has no btrfs`, 'use a kernel with CONFIG_BTRFS_FS');
  const kind = await place.kind();
  const wanted = kind === 'native' ? ['btrfs'] : ['btrfs', 'mkfs.btrfs', 'losetup'];
  const missing = wanted.filter((command) => findCommand(command) === null);
  if (missing.length > 0)
    return no(`not installed: ${missing.join(', ')}`, 'apt-get install btrfs-progs mount');
  if (kind === 'native')
    return { usable: true, reason: 'the state directory is on btrfs', fix: null, warnings: [] };
  const reason = kind === 'image' ? 'flyd has a btrfs in a file' : 'a btrfs in a file is made on first use';
  const warning =
    'its btrfs is in a sparse file: for trying out; when the file system below is full, volumes get I/O errors';
  return { usable: true, reason, fix: null, warnings: [warning] };
}
