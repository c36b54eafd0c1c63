import { chmod, open, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { unrecoverable } from '#core/errors';
import { fileError, syncDir } from '../durable.ts';
import type { Exec } from '../exec.ts';
import { mountAt, readMounts } from '../mountinfo.ts';
import { makePrivate, mountDevice, prepareMountPoint } from '../mounts.ts';
import { ensurePrivate, exists } from './folders.ts';
import { withLock } from './lock.ts';
import type { Loops } from './loop.ts';
import { fileSystemOf } from './space.ts';

/** The file under a btrfs of flyd's own is as large as this, if the operator says nothing. It is sparse. */
const imageBytesDefault = 10 * 1024 ** 3;
/** mkfs.btrfs(8) makes nothing smaller without mixed block groups. */
const imageBytesMin = 114_294_784;

export interface BtrfsPlaceOptions {
  /** `<state>/volumes/btrfs`. */
  folder: string;
  /** `<state>/pool`: where the file under a btrfs of our own is. */
  poolFolder: string;
  exec: Exec;
  loops: Loops;
  /** Size of a new file. Bytes. */
  imageBytes?: number | undefined;
}

/** Where subvolumes can be made. */
export interface BtrfsPlace {
  /** `native`: the state directory is on btrfs. `image`: a file of flyd's has one. `none`: it would be made. */
  kind(): Promise<'native' | 'image' | 'none'>;
  /** Afterwards the folder is on btrfs: after a reboot the file is attached and mounted anew. */
  ready(op: string): Promise<void>;
}

/** The folder of the btrfs driver: on the btrfs that is there, or on one in a file of flyd's own. */
export function createBtrfsPlace(options: BtrfsPlaceOptions): BtrfsPlace {
  const { folder, poolFolder, exec, loops, imageBytes = imageBytesDefault } = options;
  const image = join(poolFolder, 'btrfs');

  const isOnBtrfs = async (path: string): Promise<boolean> => (await fileSystemOf(path)).name === 'btrfs';

  const makeImage = async (op: string): Promise<void> => {
    if (imageBytes < imageBytesMin)
      throw unrecoverable('usage', `btrfs needs ${imageBytesMin} bytes, not ${imageBytes}`, {
        op,
        subject: image,
        hint: '--pool-size 1G',
      });
    const temp = `${image}.tmp`;
    const file = await open(temp, 'w', 0o600).catch((error: unknown) => {
      throw fileError(error, 'make', temp);
    });
    try {
      await file.truncate(imageBytes);
    } finally {
      await file.close();
    }
    await exec('mkfs.btrfs', ['--quiet', '--force', temp], { op, subject: temp, timeoutMs: 5 * 60_000 });
    await rename(temp, image);
    await syncDir(dirname(image));
  };

  const mountImage = async (op: string): Promise<void> => {
    if (!(await exists(image))) await makeImage(op);
    const loop = await loops.attach(image, op);
    const point = await prepareMountPoint(folder);
    // What is unpacked must not run, and no device of an image is one of the host's.
    mountDevice(loop.path, point, 'btrfs', { noexec: true }, '');
    await chmod(point, 0o700);
  };

  return {
    async kind() {
      if (await exists(image)) return 'image';
      return (await isOnBtrfs(folder)) ? 'native' : 'none';
    },
    async ready(op) {
      await ensurePrivate(dirname(folder));
      if ((await this.kind()) === 'native') return ensurePrivate(folder);
      await ensurePrivate(poolFolder);
      if (await isMounted()) return;
      await withLock(join(poolFolder, 'lock'), op, async () => {
        if (!(await isMounted())) await mountImage(op);
      });
    },
  };

  async function isMounted(): Promise<boolean> {
    const mounted = mountAt(await readMounts(), folder);
    if (mounted?.fstype !== 'btrfs') return false;
    makePrivate(folder); // a call that was killed may have stopped before this
    return true;
  }
}
