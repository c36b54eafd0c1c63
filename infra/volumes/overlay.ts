import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { basename, join } from 'node:path';
import type { Support, VolumeDriver } from './driver.ts';
import { ensureRootfs } from './folders.ts';
import { moduleAvailable } from './kernel.ts';
import { createLayeredDriver, type LayeredOptions } from './layered.ts';
import { fileSystemOf } from './space.ts';
import { createTreeParts } from './tree-parts.ts';

/** A folder for each layer, which an overlay joins as it is. */
export function createOverlayDriver(options: LayeredOptions & { partsFolder: string }): VolumeDriver {
  const { folder, privileged, exec } = options;
  return createLayeredDriver(
    {
      name: 'overlay',
      ...(privileged && { parts: createTreeParts({ folder: options.partsFolder, exec }) }),
      probe: () => probeOverlay(folder, privileged),
      prepare: ensureRootfs,
      open: (root, below) => {
        const lowers = below.map((lower) => join(lower, 'rootfs'));
        return { root, form: 'overlay', lowers, privileged };
      },
      withFolders: (roots, _, use) => use(roots.map((root) => basename(root))),
      tidy: async () => {},
    },
    options,
  );
}

/** Whether this process can mount an overlay whose upper folder is below `folder`. */
export async function probeOverlay(folder: string, privileged: boolean): Promise<Support> {
  const no = (reason: string, fix: string | null): Support => ({ usable: false, reason, fix, warnings: [] });
  if (!privileged) return no('mounting an overlay needs root', 'run as root, or use --driver copy');
  const known = /\toverlay$/m.test(await readFile('/proc/filesystems', 'utf8'));
  if (!known && !(await moduleAvailable('overlay')))
    return no(
      `the kernel ${release()} has no overlayfs`,
      'use a kernel with CONFIG_OVERLAY_FS, or --driver copy',
    );
  const kind = await fileSystemOf(folder);
  if (!kind.canBeUpper)
    return no(
      `${folder} is on ${kind.name}, where an overlay cannot write`,
      'put the state directory (--state-dir) on a local file system such as ext4, xfs or btrfs',
    );
  return { usable: true, reason: 'the kernel has overlayfs', fix: null, warnings: [] };
}
