import { constants } from 'node:fs';
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { unrecoverable } from '#core/errors';
import { errnoOf, fileError } from '../durable.ts';
import { deviceText } from '../holders.ts';
import { sectorBytes } from './pool-size.ts';

/** What tells one block device from another after a reboot, as far as the kernel knows it. */
export interface BlockDevice {
  /** `major:minor`, until the next reboot. */
  dev: string;
  bytes: number;
  /** World-wide name, serial number or dm uuid; null for a device without. */
  serial: string | null;
}

/** Looks at a block device. Fails with `pool_missing` when the path is no block device. */
export async function blockDevice(path: string, op: string): Promise<BlockDevice> {
  const found = await stat(path).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return null;
    throw fileError(error, 'look at', path);
  });
  if (found === null || !found.isBlockDevice())
    throw unrecoverable('pool_missing', `${path} is ${found === null ? 'not there' : 'not a block device'}`, {
      op,
      subject: path,
    });
  const dev = deviceText(found.rdev);
  const sysfs = `/sys/dev/block/${dev}`;
  const sectors = Number((await readFile(`${sysfs}/size`, 'utf8')).trim());
  return { dev, bytes: sectors * sectorBytes, serial: await serialOf(sysfs) };
}

async function serialOf(sysfs: string): Promise<string | null> {
  // A partition has its number beside the names of its disk.
  const partition = (await readFile(`${sysfs}/partition`, 'utf8').catch(() => '')).trim();
  const disk = partition === '' ? sysfs : `${sysfs}/..`;
  for (const file of ['wwid', 'device/wwid', 'serial', 'device/serial', 'dm/uuid', 'loop/backing_file']) {
    const text = (await readFile(`${disk}/${file}`, 'utf8').catch(() => '')).trim();
    if (text !== '') return partition === '' ? text : `${text}-part${partition}`;
  }
  return null;
}

/** `/dev/<name>` of a device by its number; null when it is gone. */
export async function devicePath(dev: string): Promise<string | null> {
  const uevent = await readFile(`/sys/dev/block/${dev}/uevent`, 'utf8').catch(() => '');
  const name = /^DEVNAME=(.+)$/m.exec(uevent)?.[1];
  return name === undefined ? null : `/dev/${name}`;
}

/** Reads `length` bytes from the start of a device or file. */
export async function readStart(path: string, length: number): Promise<Buffer> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY);
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await file.read(buffer, 0, length, 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    throw fileError(error, 'read', path);
  } finally {
    await file?.close();
  }
}

/** Writes zeros over the first `length` bytes and waits until they are on the disk. */
export async function zeroStart(path: string, length: number): Promise<void> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_WRONLY);
    await file.write(Buffer.alloc(length), 0, length, 0);
    await file.sync();
  } catch (error) {
    throw fileError(error, 'write', path);
  } finally {
    await file?.close();
  }
}

/** Whether a mount, another device or anybody else has claimed the block device for itself. */
export async function isClaimed(path: string): Promise<boolean> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_EXCL);
    return false;
  } catch (error) {
    if (errnoOf(error) === 'EBUSY') return true;
    throw fileError(error, 'open', path);
  } finally {
    await file?.close();
  }
}
