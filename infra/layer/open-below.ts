import { unrecoverable } from '#core/errors';
import {
  AT_FDCWD,
  check,
  close,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  openat,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  tryOpenat2,
} from '../sys.ts';
import { bytesOf } from './path.ts';

/**
 * Why no race of symlinks can lead out, by construction:
 *
 * - Whatever is opened in a tree is opened here, by openat2(2) from an fd of the tree, with
 *   RESOLVE_IN_ROOT (`..` and absolute targets end at that fd), RESOLVE_NO_SYMLINKS (a directory that
 *   became a link a moment ago is ELOOP), RESOLVE_NO_MAGICLINKS and RESOLVE_NO_XDEV. Links that a layer
 *   may use are resolved by `resolveDir`, one part at a time; a mistake there, or somebody who
 *   swaps parts meanwhile, meets these flags.
 * - Everything else acts on an open fd, or on one name in an open directory by a call that does not
 *   follow it (O_EXCL and O_NOFOLLOW, mknodat, linkat, unlinkat, AT_SYMLINK_NOFOLLOW, lsetxattr). No
 *   path is ever checked and then used again (CVE-2025-47290, CVE-2018-15664).
 *
 * A kernel without openat2 (before Linux 5.6) or a sandbox that forbids it is refused before anything is
 * written: there is no weaker way to fall back to.
 */
const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
const pathBytesMax = 4000; // below PATH_MAX, which counts the NUL

export const directoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
/** For a file that must be new: never one that is there, never through a link. */
export const newFileFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
export const lookFlags = O_PATH | O_NOFOLLOW | O_CLOEXEC;

const ENOSYS = -38;
const EPERM = -1;

/**
 * Opens a folder as the root of a tree. `driver_unavailable` where openat2 cannot be used: then nothing
 * below it could be opened safely. The folder's own path is trusted: flyd made it.
 */
export function openRoot(path: string): number {
  const fd = openat(AT_FDCWD, path, directoryFlags);
  const probe = tryOpenat2(fd, '.', { flags: directoryFlags, resolve });
  if (probe >= 0) {
    close(probe);
    return fd;
  }
  close(fd);
  if (probe !== ENOSYS && probe !== EPERM) check(probe, 'openat2', path);
  throw unrecoverable('driver_unavailable', 'openat2 is missing: layers cannot be unpacked safely', {
    op: 'volume.unpack',
    subject: path,
    hint: 'boot Linux 5.8 or newer; in a container, allow openat2 in its seccomp profile',
  });
}

/**
 * Opens the place that the names lead to from `dirfd` on; they are real directories, but perhaps the
 * last. Longer ways than PATH_MAX are walked in stretches. Returns the fd, or the negative error number.
 */
export function openBelow(dirfd: number, names: readonly string[], flags: number): number {
  let from = dirfd;
  let at = 0;
  for (;;) {
    let bytes = 0;
    let end = at;
    for (let name = names[end]; name !== undefined; name = names[end]) {
      if (bytes + name.length + 1 > pathBytesMax) break;
      bytes += name.length + 1;
      end++;
    }
    const last = end >= names.length;
    const stretch = at === end ? '.' : names.slice(at, end).join('/');
    const fd = tryOpenat2(from, bytesOf(stretch), { flags: last ? flags : lookFlags | O_DIRECTORY, resolve });
    if (from !== dirfd) close(from);
    if (last || fd < 0) return fd;
    from = fd;
    at = end;
  }
}
