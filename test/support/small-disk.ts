import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  copyFileSync,
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
  /** Unmounts it, with what is mounted below it. */
  close(): void;
}

const MiB = 1024 * 1024;

/** A new ext4 of so many bytes, mounted at `folder` (0700), which is made. Needs root. */
export function makeSmallDisk(image: string, folder: string, bytes: number): SmallDisk {
  execFileSync('truncate', ['--size', String(bytes), image]);
  execFileSync('mkfs.ext4', ['-q', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image]);
  const disk = openSmallDisk(image, folder);
  execFileSync('rmdir', [join(folder, 'lost+found')]);
  return disk;
}

/** A copy of a disk that is not mounted now, mounted at another folder. */
export function copySmallDisk(from: string, image: string, folder: string): SmallDisk {
  copyFileSync(from, image, constants.COPYFILE_FICLONE);
  return openSmallDisk(image, folder);
}

function openSmallDisk(image: string, folder: string): SmallDisk {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  execFileSync('mount', ['-o', 'loop', image, folder]);
  execFileSync('chmod', ['0700', folder]);
  return {
    image,
    folder,
    fillBut: (bytes) => fillBut(join(folder, '.filler'), bytes),
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
    for (const chunk of [Buffer.alloc(MiB), Buffer.alloc(4096)])
      for (let full = false; !full; )
        try {
          size += writeSync(fd, chunk);
        } catch (error) {
          assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
          full = true;
        }
    fsyncSync(fd);
    ftruncateSync(fd, Math.max(0, size - bytes));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return () => rmSync(path, { force: true });
}
