import { basename } from 'node:path';
import { mountAt, readMounts } from './mountinfo.ts';
import { findMountPoint } from './mounts.ts';
import { readDmDevices } from './volumes/dm-sysfs.ts';

/**
 * Whether what should be mounted at `path` and mapped as `devicePath` is so now; what is null need not
 * be. Looks only.
 */
export async function isInPlace({
  path,
  devicePath,
}: {
  path: string | null;
  devicePath: string | null;
}): Promise<boolean> {
  if (path !== null) {
    const point = await findMountPoint(path);
    if (point === null || mountAt(await readMounts(), point) === null) return false;
  }
  if (devicePath === null) return true;
  const name = basename(devicePath);
  return (await readDmDevices()).some((device) => device.name === name && device.live);
}
