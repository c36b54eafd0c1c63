import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, rmdir } from 'node:fs/promises';
import { release, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { FlydError, unrecoverable } from '#core/errors';
import { fileError } from '../durable.ts';
import { DataArea } from '../erofs/data-area.ts';
import { blockBytes } from '../erofs/format.ts';
import { rootName } from '../erofs/lowers.ts';
import { makeImageNode } from '../erofs/node.ts';
import { createParts } from '../erofs/parts.ts';
import { finishImage } from '../erofs/write.ts';
import { type Exec, stderrOf } from '../exec.ts';
import { mountsUnder, readMounts } from '../mountinfo.ts';
import { unmountAt } from '../mounts.ts';
import {
  AT_SYMLINK_NOFOLLOW,
  close,
  fsconfigCreate,
  fsconfigSet,
  fsmount,
  fsopen,
  isErrno,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOSUID,
  MS_NODEV,
  MS_NOSUID,
  MS_RDONLY,
  mount,
  tryFstatat,
} from '../sys.ts';
import type { Support, VolumeDriver } from './driver.ts';
import { exists } from './folders.ts';
import { moduleAvailable } from './kernel.ts';
import { createLayeredDriver, type LayeredOptions } from './layered.ts';
import { probeOverlay } from './overlay.ts';

/** The image of a layer, in its volume's folder. */
const imageName = 'layer.erofs';

/**
 * A read-only EROFS image for each layer, which is never unpacked: its files are appended to the image as
 * they are inflated. The images are mounted for as long as it takes to mount an overlay over them, which
 * then holds them itself.
 */
export function createErofsDriver(options: LayeredOptions & { partsFolder: string }): VolumeDriver {
  const { folder, privileged, exec } = options;
  return createLayeredDriver(
    {
      name: 'erofs',
      parts: createParts(options.partsFolder),
      probe: () => probe(folder, privileged, exec),
      prepare: async () => {},
      open: (root, below) => {
        const lowers = below.map((lower) => join(lower, imageName));
        return { root, form: 'image', image: join(root, imageName), lowers, privileged };
      },
      async withFolders(roots, place, use) {
        await tidy(place, exec);
        if (await overDetached(roots, use)) return;
        const names: string[] = [];
        try {
          for (const [index, root] of roots.entries()) {
            const at = join(place, 'lower', String(index));
            await mkdir(at, { recursive: true, mode: 0o700 });
            await mountImage(join(root, imageName), at, exec);
            names.push(join(basename(place), 'lower', String(index)));
          }
          await use(names);
        } finally {
          await tidy(place, exec);
        }
      },
      tidy: (place) => tidy(place, exec),
    },
    options,
  );
}

/**
 * By mounts that are attached nowhere: a kill leaves none, and nothing is to be unmounted. False when the
 * kernel mounts no files (before Linux 6.12), or no overlay over such mounts (before 6.15).
 */
async function overDetached(
  roots: readonly string[],
  use: (lowers: readonly number[]) => Promise<void>,
): Promise<boolean> {
  const mounts: number[] = [];
  try {
    for (const root of roots) {
      const mounted = mountDetached(join(root, imageName));
      if (mounted === null) return false;
      mounts.push(mounted);
    }
    await use(mounts);
    return true;
  } catch (error) {
    // Whatever it is: if it is not the way of mounting, the other way meets it again, and says so.
    if (error instanceof FlydError && ['driver_failed', 'driver_unsupported'].includes(error.code))
      return false;
    throw error;
  } finally {
    for (const mounted of mounts) close(mounted);
  }
}

/** Unmounts the images that were mounted for an activation, and removes their mount points. */
async function tidy(place: string, exec: Exec): Promise<void> {
  const lower = join(place, 'lower');
  if (!(await exists(lower))) return;
  const subject = `the layers of ${basename(place)}`;
  for (const { mountPoint } of mountsUnder(await readMounts(), lower))
    await unmountAt(mountPoint, { exec, op: 'activation.mount', subject, busy: 'volume_busy' });
  await rm(lower, { recursive: true, force: true });
}

/**
 * Mounts an image read-only: as a file where the kernel can (Linux 6.12), else by a loop device, which goes
 * with the mount. Fails with `driver_failed`, `permission`.
 */
async function mountImage(image: string, at: string, exec: Exec): Promise<void> {
  try {
    mount(image, at, 'erofs', MS_RDONLY | MS_NODEV | MS_NOSUID, null);
    return;
  } catch (error) {
    if (!isErrno(error, 'ENOTBLK', 'ENODEV', 'EINVAL')) throw refused(image, String(error), error);
  }
  const options = { op: 'activation.mount', subject: image };
  try {
    await exec('mount', ['-n', '-i', '-t', 'erofs', '-o', 'loop,ro,nodev,nosuid', image, at], options);
  } catch (error) {
    throw refused(image, stderrOf(error).trim() || String(error), error);
  }
}

const refused = (image: string, said: string, cause: unknown) =>
  isErrno(cause, 'EPERM')
    ? unrecoverable('permission', `not allowed to mount ${image}`, {
        op: 'activation.mount',
        subject: image,
        hint: 'run as root, or use --driver copy',
        cause,
      })
    : unrecoverable('driver_failed', `cannot mount the image ${image}: ${said}`, {
        op: 'activation.mount',
        subject: image,
        hint: 'the kernel log (dmesg) may say more',
        cause,
      });

/** By mounting a small image: whether a kernel knows enough of EROFS shows only then. */
async function probe(folder: string, privileged: boolean, exec: Exec): Promise<Support> {
  const no = (reason: string): Support => ({
    usable: false,
    reason,
    fix: 'use --driver overlay or --driver copy',
    warnings: [],
  });
  const overlay = await probeOverlay(folder, privileged);
  if (!overlay.usable) return overlay;
  const known = /\terofs$/m.test(await readFile('/proc/filesystems', 'utf8'));
  if (!known && !(await moduleAvailable('erofs'))) return no(`the kernel ${release()} has no EROFS`);
  try {
    const isShown = (await exists(folder))
      ? await triesIn(folder, exec).catch((error: unknown) => {
          // A full disk tells nothing of the kernel, and what is to be removed from it must not wait for room.
          if (isErrno(error, 'ENOSPC', 'EDQUOT')) return triesIn(tmpdir(), exec);
          throw error;
        })
      : await triesIn(tmpdir(), exec);
    if (!isShown) return no('a test image does not show what was written to it');
  } catch (error) {
    if (isErrno(error, 'ENOSPC', 'EDQUOT')) throw fileError(error, 'write a test image to', tmpdir());
    return no(error instanceof Error ? error.message : String(error));
  }
  return { usable: true, reason: 'the kernel mounts EROFS images', fix: null, warnings: [] };
}

/** Whether a small image in this folder, mounted, shows what was written to it. */
async function triesIn(folder: string, exec: Exec): Promise<boolean> {
  const place = await mkdtemp(join(folder, 'probe-'));
  const at = join(place, 'mnt');
  try {
    await mkdir(at);
    writeSmallest(join(place, imageName));
    return showsRoot(join(place, imageName)) ?? (await showsRootAt(join(place, imageName), at, exec));
  } finally {
    await rmdir(at).catch(() => undefined); // not when it is still mounted: then all of it stays
    await rm(join(place, imageName), { force: true });
    await rmdir(place).catch(() => undefined);
  }
}

/** Null where the kernel mounts no files. */
function showsRoot(image: string): boolean | null {
  const mounted = mountDetached(image);
  if (mounted === null) return null;
  try {
    return tryFstatat(mounted, Buffer.from(rootName), AT_SYMLINK_NOFOLLOW) !== null;
  } finally {
    close(mounted);
  }
}

/** An fd of a read-only mount of the image that is attached nowhere; null where the kernel mounts no files. */
function mountDetached(image: string): number | null {
  const context = fsopen('erofs');
  try {
    fsconfigSet(context, 'source', image);
    fsconfigSet(context, 'ro', null);
    fsconfigCreate(context);
    return fsmount(context, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
  } catch (error) {
    if (isErrno(error, 'ENOTBLK', 'EINVAL')) return null;
    throw error;
  } finally {
    close(context);
  }
}

async function showsRootAt(image: string, at: string, exec: Exec): Promise<boolean> {
  await mountImage(image, at, exec);
  const mounted = await exists(join(at, rootName));
  await unmountAt(at, { exec, op: 'volume.choose', subject: 'a test image', busy: 'volume_busy' });
  return mounted;
}

/** With holes in a file, for that is the newest part of the format that flyd needs. */
function writeSmallest(path: string): void {
  const fd = fs.openSync(path, 'wx', 0o600);
  try {
    const area = new DataArea(fd, blockBytes);
    const attributes = { mode: 0o755, uid: 0, gid: 0, mtime: { sec: 0, nsec: 0 } };
    const data = area.sparseFile(64 * blockBytes, [], () => Buffer.alloc(0));
    const holes = makeImageNode({ type: 'file', ...attributes, data });
    const root = makeImageNode({ type: 'dir', ...attributes, children: new Map([['holes', holes]]) });
    const top = makeImageNode({ type: 'dir', ...attributes, children: new Map([[rootName, root]]) });
    finishImage(fd, area, top, randomBytes(16));
  } finally {
    fs.closeSync(fd);
  }
}
