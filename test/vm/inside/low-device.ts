import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/** Runs a tool of the system; throws with what it said when it fails. */
export function tool(command: string, ...args: string[]): string {
  return execFileSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', DM_DISABLE_UDEV: '1' },
  });
}

const MiB = 1024 * 1024;
const sectorsPerMiB = MiB / 512;

/** A block device under the thing that is tested, which can be broken, mended and made larger. */
export interface LowDevice {
  /** `/dev/mapper/...`. */
  path: string;
  /** From now on every read and write of it fails with EIO. */
  fail(): void;
  /** From now on writes fail with EIO, and reads do not. */
  failWrites(): void;
  mend(): void;
  grow(mebibytes: number): void;
  /** Bytes that the file under it takes of its file system. */
  allocated(): number;
  remove(): void;
}

/** Makes a blank device of this size on a sparse file. */
export function makeLowDevice(name: string, file: string, mebibytes: number): LowDevice {
  const size = (to: number): void => {
    const fd = openSync(file, 'a+', 0o600);
    ftruncateSync(fd, to * MiB);
    closeSync(fd);
  };
  size(mebibytes);
  const loop = tool('losetup', '--find', '--show', file).trim();
  let sectors = mebibytes * sectorsPerMiB;
  const linear = (): string => `0 ${sectors} linear ${loop} 0`;
  tool('dmsetup', 'create', name, '--uuid', `low-${name}`, '--table', linear());
  const load = (table: string): void => {
    // What waits on the device must not keep it from being broken.
    tool('dmsetup', 'suspend', '--nolockfs', '--noflush', name);
    tool('dmsetup', 'load', name, '--table', table);
    tool('dmsetup', 'resume', name);
  };
  return {
    path: `/dev/mapper/${name}`,
    fail: () => load(`0 ${sectors} error`),
    failWrites: () => load(`0 ${sectors} flakey ${loop} 0 0 3600 1 error_writes`),
    mend: () => load(linear()),
    grow(to) {
      size(to);
      tool('losetup', '-c', loop);
      sectors = to * sectorsPerMiB;
      load(linear());
    },
    allocated: () => statSync(file).blocks * 512,
    remove() {
      tool('dmsetup', 'remove', '--retry', name);
      tool('losetup', '-d', loop);
    },
  };
}

/** A disk with a file system that lasts as long as the test. */
export interface Disk {
  disk: LowDevice;
  /** Where it is mounted. */
  point: string;
  mount(): void;
}

/** Makes an ext4 on a device of its own and mounts it. */
export function makeDisk(t: TestContext, name: string, mebibytes: number): Disk {
  const folder = mkdtempSync('/tmp/flyd-disk-');
  const disk = makeLowDevice(name, join(folder, 'disk'), mebibytes);
  const point = join(folder, 'mounted');
  mkdirSync(point);
  const mount = (): void => void tool('mount', '-o', 'errors=remount-ro', disk.path, point);
  tool('mkfs.ext4', '-q', '-F', disk.path);
  mount();
  t.after(() => {
    disk.mend();
    tool('umount', '--lazy', point);
    disk.remove();
    rmSync(folder, { recursive: true, force: true });
  });
  return { disk, point, mount };
}
