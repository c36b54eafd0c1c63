import { execFileSync } from 'node:child_process';
import { copyFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { makeSmallDisk } from './small-disk.ts';

/**
 * Puts a copy of the file over it by a bind mount, on a disk of its own whose second half of the file ends with
 * EIO: the loop device below has lost that part of its own file. Needs root; `scratch` is a path where nothing
 * is. Gives how to take it away: then the file is as it was.
 */
export function makeUnreadable(path: string, scratch: string): () => void {
  const image = `${scratch}.img`;
  const disk = makeSmallDisk(image, scratch, 24 * 1024 * 1024);
  const copy = join(scratch, 'copy');
  copyFileSync(path, copy);
  const cut = placeOf(copy, statSync(copy).size / 2);
  // No write of the disk's own may make its file longer again: what was lost would be zeros then.
  execFileSync('mount', ['-o', 'remount,ro', scratch]);
  execFileSync('mount', ['--bind', copy, path]);
  truncateSync(image, cut);
  // What the kernel has cached would be read instead.
  for (const file of [copy, image])
    execFileSync('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
  return () => {
    execFileSync('umount', ['--lazy', path]);
    disk.close();
  };
}

const blockBytes = 4096;

/** Where on its disk the byte at `offset` of a file is, rounded down to a block (filefrag(8): `ext: logical.. physical..`). */
function placeOf(path: string, offset: number): number {
  execFileSync('sync', [path]);
  const text = execFileSync('filefrag', ['-v', `-b${blockBytes}`, path], { encoding: 'utf8' });
  const wanted = Math.floor(offset / blockBytes);
  const extents = [...text.matchAll(/^\s*\d+:\s*(\d+)\.\.\s*\d+:\s*(\d+)\.\./gm)];
  const extent = extents.findLast(([, logical]) => Number(logical) <= wanted);
  if (extent === undefined) throw new Error(`no extents: ${text}`);
  return (Number(extent[2]) + wanted - Number(extent[1])) * blockBytes;
}
