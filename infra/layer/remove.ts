import {
  AT_REMOVEDIR,
  check,
  close,
  type DirectoryEntry,
  DT_DIR,
  fchmod,
  fchmodat,
  fstat,
  openat,
  readdirAt,
  tryUnlinkat,
  unlinkat,
} from '../sys.ts';
import { hostile } from './errors.ts';
import { directoryFlags, openBelow } from './open-below.ts';
import { keyOf } from './path.ts';

const ENOENT = -2;
const EACCES = -13;
const EISDIR = -21;

/**
 * Removes what stands at `name`, a directory with all below it. Never follows a link, never crosses
 * into another file system, and needs two fds however deep the tree is. Nothing there is fine.
 */
export function removeEntry(dirfd: number, name: Buffer, privileged: boolean): void {
  const result = tryUnlinkat(dirfd, name);
  if (result === EISDIR) removeDirectory(dirfd, name, privileged);
  else if (result !== ENOENT) check(result, 'unlinkat', name);
}

interface Level {
  name: Buffer;
  entries: DirectoryEntry[];
  /** Of the directory above, to be sure that `..` leads back to it. */
  parentIno: bigint;
}

function removeDirectory(top: number, name: Buffer, privileged: boolean): void {
  let fd = enter(top, name, privileged);
  const levels: Level[] = [{ name, entries: readdirAt(fd), parentIno: 0n }];
  try {
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const entry = level.entries.pop();
      if (entry !== undefined) {
        if (entry.type !== DT_DIR) {
          const result = tryUnlinkat(fd, entry.name);
          if (result !== EISDIR) {
            check(result, 'unlinkat', entry.name);
            continue;
          }
        }
        const child = enter(fd, entry.name, privileged);
        levels.push({ name: entry.name, entries: readdirAt(child), parentIno: fstat(fd).ino });
        close(fd);
        fd = child;
        continue;
      }
      levels.pop();
      if (levels.length === 0) break;
      fd = leave(fd, level.parentIno);
      unlinkat(fd, level.name, AT_REMOVEDIR);
    }
  } finally {
    close(fd);
  }
  unlinkat(top, name, AT_REMOVEDIR);
}

function enter(dirfd: number, name: Buffer, privileged: boolean): number {
  let fd = openBelow(dirfd, [keyOf(name)], directoryFlags);
  if (fd === EACCES && !privileged) {
    fchmodat(dirfd, name, 0o700);
    fd = openBelow(dirfd, [keyOf(name)], directoryFlags);
  }
  check(fd, 'openat2', name);
  if (!privileged) fchmod(fd, 0o700); // it goes away; until then it must be writable
  return fd;
}

function leave(fd: number, parentIno: bigint): number {
  const up = openat(fd, '..', directoryFlags);
  close(fd);
  if (fstat(up).ino === parentIno) return up;
  close(up);
  throw hostile('somebody else moves directories in the volume');
}
