import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The one disk of a machine that loses its power: the file system of the state directory and, for the
 * devmapper driver, the thin pool's metadata and data, as parts of it, so that the order of writes over
 * all three is known. For the btrfs driver that file system is a btrfs. Only tools of the system touch it.
 */
const MiB = 1024 * 1024;
const sectorBytes = 512;
export const drivers = ['devmapper', 'overlay', 'erofs', 'btrfs'] as const;
export type PowerDriver = (typeof drivers)[number];
export type Part = 'state' | 'meta' | 'data';

const parts: Record<PowerDriver, readonly { part: Part; bytes: number }[]> = {
  overlay: [{ part: 'state', bytes: 64 * MiB }],
  erofs: [{ part: 'state', bytes: 64 * MiB }],
  // mkfs.btrfs takes no less than 109 MiB.
  btrfs: [{ part: 'state', bytes: 160 * MiB }],
  devmapper: [
    { part: 'state', bytes: 64 * MiB },
    { part: 'meta', bytes: 4 * MiB },
    { part: 'data', bytes: 128 * MiB },
  ],
};

export const diskBytes = (driver: PowerDriver): number =>
  parts[driver].reduce((sum, { bytes }) => sum + bytes, 0);

export interface Machine {
  driver: PowerDriver;
  /** The block device of the whole disk. */
  disk: string;
  /** Where its file system is mounted: the state directory and the mount root are below. */
  folder: string;
}

export const statePath = ({ folder }: Machine): string => join(folder, 'state');
export const mountRoot = ({ folder }: Machine): string => join(folder, 'mnt');
/** A part by itself, once `connect` has made it. */
export const partPath = ({ driver, disk }: Machine, part: Part): string =>
  driver === 'devmapper' ? `/dev/mapper/power-${part}` : disk;

/** The file system of the state directory. */
export const fileSystemOf = ({ driver }: Pick<Machine, 'driver'>): 'ext4' | 'btrfs' =>
  driver === 'btrfs' ? 'btrfs' : 'ext4';

/** Runs a tool of the system; throws with what it said when it fails. */
export function tool(command: string, ...args: string[]): string {
  return execFileSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', DM_DISABLE_UDEV: '1' },
  });
}

/** Makes the parts of the disk appear. */
export function connect(machine: Machine): void {
  if (machine.driver !== 'devmapper') return;
  let start = 0;
  for (const { part, bytes } of parts.devmapper) {
    const [length, offset] = [bytes / sectorBytes, start / sectorBytes];
    const name = `power-${part}`;
    tool(
      'dmsetup',
      'create',
      name,
      '--uuid',
      name,
      '--table',
      `0 ${length} linear ${machine.disk} ${offset}`,
    );
    start += bytes;
  }
}

export function makeFileSystem(machine: Machine): void {
  const path = partPath(machine, 'state');
  if (fileSystemOf(machine) === 'btrfs') tool('mkfs.btrfs', '--quiet', '--force', '--nodiscard', path);
  else tool('mkfs.ext4', '-q', '-F', '-E', 'nodiscard', path);
}

/** Mounts the file system of the state directory: the kernel replays its journal. */
export function mountState(machine: Machine): void {
  mkdirSync(machine.folder, { recursive: true, mode: 0o700 });
  const fs = fileSystemOf(machine);
  const options = fs === 'ext4' ? ['-o', 'errors=remount-ro'] : [];
  tool('mount', '-t', fs, ...options, partPath(machine, 'state'), machine.folder);
}

/** Unmounts and unmaps everything that stands on the disk, flyd's things too. */
export function disconnect(machine: Machine): void {
  const { driver, folder } = machine;
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point === folder || point.startsWith(`${folder}/`));
  for (const point of points.reverse()) tool('umount', point);
  if (driver !== 'devmapper') return;
  for (let round = 0; ; round += 1) {
    const names = mapped().filter((name) => name.startsWith('flyd-'));
    if (names.length === 0) break;
    if (round > 3) throw new Error(`cannot unmap ${names.join(', ')}`);
    // Volumes stand on the pool and have longer names. What is still in use goes in the next round.
    for (const name of names.sort((a, b) => b.length - a.length))
      tool('sh', '-c', `dmsetup remove --retry ${name} || true`);
  }
}

/** Unmaps the parts, after the last look at them. */
export function disconnectParts({ driver }: Machine): void {
  if (driver === 'devmapper') tool('dmsetup', 'remove', ...parts[driver].map(({ part }) => `power-${part}`));
}

const mapped = (): string[] =>
  tool('dmsetup', 'ls')
    .split('\n')
    .map((line) => line.split(/\s/)[0] ?? '')
    .filter((name) => name !== '' && name !== 'No');
