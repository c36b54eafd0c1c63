import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

/** A small file system of its own, in a file, mounted at a folder: to be filled, copied as it is, thrown away. */
export interface SmallDisk {
  readonly image: string;
  readonly folder: string;
  /** Fills it to the brim but for so many bytes; gives what makes room again. */
  fillBut(bytes: number): () => void;
  /** Uses up all its inodes but so many; gives what makes room again. Not on btrfs, which has as many as it has room for. */
  fillInodesBut(count: number): () => void;
  /** Unmounts it, with what is mounted below it. */
  close(): void;
}

const MiB = 1024 * 1024;

const makers = {
  ext4: ['mkfs.ext4', '-q', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0'],
  btrfs: ['mkfs.btrfs', '--quiet'],
  xfs: ['mkfs.xfs', '-q'],
} as const;
export type DiskKind = keyof typeof makers;

/** What mkfs.btrfs and mkfs.xfs make at least (mkfs.btrfs(8), mkfs.xfs(8)), or what is handy. */
const bytesMin: Readonly<Record<DiskKind, number>> = { ext4: 0, btrfs: 128 * MiB, xfs: 300 * MiB };

/** A new file system of so many bytes or the least that it takes, mounted at `folder` (0700), which is made. Needs root. */
export function makeSmallDisk(
  image: string,
  folder: string,
  bytes: number,
  kind: DiskKind = 'ext4',
): SmallDisk {
  execFileSync('truncate', ['--size', String(Math.max(bytes, bytesMin[kind])), image]);
  const [command, ...args] = makers[kind];
  execFileSync(command, [...args, image]);
  const disk = openSmallDisk(image, folder);
  rmSync(join(folder, 'lost+found'), { recursive: true, force: true });
  return disk;
}

/** A copy of a disk that is not mounted now, mounted at another folder. */
export function copySmallDisk(from: string, image: string, folder: string): SmallDisk {
  execFileSync('cp', ['--sparse=always', from, image]);
  return openSmallDisk(image, folder);
}

function openSmallDisk(image: string, folder: string): SmallDisk {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { stdout } = spawnSync('blkid', ['-o', 'value', '-s', 'TYPE', image], { encoding: 'utf8' });
  // A copy of a mounted xfs has the same id, which it is refused for.
  const isXfs = stdout.trim() === 'xfs';
  execFileSync('mount', ['-o', isXfs ? 'loop,nouuid' : 'loop', image, folder]);
  execFileSync('chmod', ['0700', folder]);
  return {
    image,
    folder,
    fillBut: (bytes) => fillBut(join(folder, '.filler'), bytes),
    fillInodesBut: (count) => fillInodesBut(join(folder, '.filler'), count),
    close: () => unmount(folder),
  };
}

/** A loop device over a file of it lets go some moments after its mount has: then it is still busy. */
function unmount(folder: string): void {
  const isDone = (...options: string[]): boolean =>
    spawnSync('umount', ['--recursive', ...options, folder], { stdio: 'ignore' }).status === 0;
  for (let tries = 0; tries < 30 && !isDone(); tries++) {
    detachLoops(folder);
    spawnSync('sleep', ['0.1']);
  }
  if (readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${folder} `)) isDone('--lazy');
}

/** A file system in a file of the disk, such as the btrfs driver's, keeps its loop device when it is unmounted. */
function detachLoops(folder: string): void {
  const args = ['--list', '--noheadings', '--raw', '-O', 'NAME,BACK-FILE'];
  for (const line of execFileSync('losetup', args, { encoding: 'utf8' }).split('\n')) {
    const [name = '', file = ''] = line.split(' ');
    if (file.startsWith(`${folder}/`)) execFileSync('losetup', ['-d', name]);
  }
}

function fillBut(path: string, bytes: number): () => void {
  const fd = openSync(path, 'w');
  let size = 0;
  try {
    for (const chunk of [Buffer.alloc(MiB), Buffer.alloc(4096)]) {
      for (let full = false; !full; )
        try {
          size += writeSync(fd, chunk);
        } catch (error) {
          full = isFull(error);
        }
      fsyncSync(fd); // what was promised to writes, and then not used, is free again
    }
    ftruncateSync(fd, Math.max(0, size - bytes));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return () => rmSync(path, { force: true });
}

function fillInodesBut(folder: string, count: number): () => void {
  mkdirSync(folder);
  let made = 0;
  for (let full = false; !full; )
    try {
      closeSync(openSync(join(folder, String(made)), 'w'));
      made += 1;
    } catch (error) {
      full = isFull(error);
    }
  for (let n = 1; n <= count; n++) rmSync(join(folder, String(made - n)));
  return () => rmSync(folder, { recursive: true, force: true });
}

function isFull(error: unknown): true {
  assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
  return true;
}
