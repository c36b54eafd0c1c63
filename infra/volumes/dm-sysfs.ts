import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A device-mapper device as the kernel shows it (Documentation/ABI/testing/sysfs-block-dm). */
export interface DmDevice {
  name: string;
  uuid: string;
  /** `major:minor`. */
  dev: string;
  /** It has a table: without one it has no size. */
  live: boolean;
  suspended: boolean;
  readOnly: boolean;
}

/** All device-mapper devices. Read from sysfs, which costs no process; none where the kernel has no device-mapper. */
export async function readDmDevices(sysBlock = '/sys/block'): Promise<DmDevice[]> {
  const names = await readdir(sysBlock).catch(() => []);
  const found = await Promise.all(
    names.filter((name) => name.startsWith('dm-')).map((name) => readDmDevice(join(sysBlock, name))),
  );
  return found.filter((device) => device !== null);
}

async function readDmDevice(folder: string): Promise<DmDevice | null> {
  const text = async (file: string) => (await readFile(join(folder, file), 'utf8')).trim();
  try {
    const [name, uuid, dev] = [await text('dm/name'), await text('dm/uuid'), await text('dev')];
    const [size, suspended, readOnly] = [await text('size'), await text('dm/suspended'), await text('ro')];
    return { name, uuid, dev, live: size !== '0', suspended: suspended === '1', readOnly: readOnly === '1' };
  } catch {
    return null; // removed while it was read
  }
}
