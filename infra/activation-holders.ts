import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  describeHolders,
  deviceText,
  holdersElsewhere,
  holdersOf,
  holdersOfDevice,
  holdersOfFolder,
} from './holders.ts';
import { mountAt, readMounts } from './mountinfo.ts';
import { findMountPoint } from './mounts.ts';
import type { ActivationPlace } from './volumes/driver.ts';

/**
 * Who uses an activation right now, as one line for people; null when nobody does. Looks only. Without
 * root only one's own processes are seen. What it says may be over the next moment: the driver's
 * unmount is what decides.
 */
export async function activationHolders({ path, rootfs, device }: ActivationPlace): Promise<string | null> {
  const point = path === null ? null : await findMountPoint(path);
  const mounted = point === null ? null : mountAt(await readMounts(), point);
  const holders =
    mounted !== null
      ? [...(await holdersOf(mounted)), ...(await holdersElsewhere(mounted))]
      : path === null && rootfs !== null
        ? await holdersOfFolder(dirname(rootfs))
        : path === null && device !== null
          ? await holdersOfNode(device)
          : [];
  return holders.length === 0 ? null : describeHolders(holders);
}

async function holdersOfNode(path: string) {
  const node = await stat(path).catch(() => null);
  return node?.isBlockDevice() === true ? holdersOfDevice(deviceText(node.rdev)) : [];
}
