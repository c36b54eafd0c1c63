import {
  close,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  tryOpenat2,
} from '../sys.ts';
import { bytesOf } from './path.ts';

/**
 * The kernel's part of staying inside: whatever is opened in a tree is opened by this, so even a
 * mistake in the resolving of names cannot follow a link or leave the root or the file system.
 */
const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
const pathBytesMax = 4000; // below PATH_MAX, which counts the NUL

export const directoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
/** For a file that must be new: never one that is there, never through a link. */
export const newFileFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
export const lookFlags = O_PATH | O_NOFOLLOW | O_CLOEXEC;

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
