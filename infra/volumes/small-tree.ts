import { basename, dirname } from 'node:path';
import { directoryFlags, openBelow, openRoot } from '../layer/open-below.ts';
import { keyOf } from '../layer/path.ts';
import { removeEntry } from '../layer/remove.ts';
import { AT_SYMLINK_NOFOLLOW, close, DT_DIR, DT_UNKNOWN, fstat, readdirAt, tryFstatat } from '../sys.ts';

/** So much is gone in a few milliseconds, less than it takes to start a process that removes it. */
const small = { entries: 64, bytes: 16 * 1024 * 1024, listBytes: 16 * 1024 };

/**
 * Removes a folder with all that is in it if that is little; the calls stop this process for so long. It
 * follows no link and enters no other file system. False, with some of it gone at most, for what is not
 * little, and for whatever stands in the way: somebody else tells what that is.
 */
export function removeSmallTree(path: string, privileged: boolean): boolean {
  try {
    const parent = openRoot(dirname(path));
    try {
      const name = Buffer.from(basename(path));
      if (!isSmall(parent, name)) return false;
      removeEntry(parent, name, privileged);
      return true;
    } finally {
      close(parent);
    }
  } catch {
    return false;
  }
}

function isSmall(parent: number, name: Buffer): boolean {
  const left = { ...small };
  const folders: string[][] = [[keyOf(name)]];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const fd = openBelow(parent, folder, directoryFlags);
    if (fd < 0) return false;
    try {
      // A folder keeps its size when it is emptied, so this refuses some that are small.
      if (fstat(fd).size > small.listBytes) return false;
      for (const entry of readdirAt(fd)) {
        if (entry.type === DT_UNKNOWN) return false; // a folder could be missed
        left.entries--;
        left.bytes -= 512 * (tryFstatat(fd, entry.name, AT_SYMLINK_NOFOLLOW)?.blocks ?? 0);
        if (left.entries < 0 || left.bytes < 0) return false;
        if (entry.type === DT_DIR) folders.push([...folder, keyOf(entry.name)]);
      }
    } finally {
      close(fd);
    }
  }
  return true;
}
