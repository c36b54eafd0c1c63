import {
  check,
  close,
  fgetxattr,
  flistxattr,
  fstat,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  readdirAt,
  readlinkat,
  S_IFCHR,
  S_IFDIR,
  S_IFMT,
  type Stat,
} from '../sys.ts';
import type { DirAttributes } from './dir-node.ts';
import type { Below } from './layer-tree.ts';
import { directoryFlags, lookFlags, openBelow, openRoot } from './open-below.ts';
import { keyOf } from './path.ts';

const ENOENT = -2;
const ENOTDIR = -20;
const openFileFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

/** The xattr prefix of overlayfs, as the volumes will be mounted: with or without `userxattr`. */
export const overlayPrefix = (privileged: boolean): string =>
  privileged ? 'trusted.overlay.' : 'user.overlay.';

/**
 * The finished layers below one in overlay's form, nearest first, read as overlayfs reads them
 * (kernel, filesystems/overlayfs.rst: whiteouts, opaque directories, merging).
 */
export class Lowers {
  readonly #roots: number[] = [];
  readonly #prefix: string;

  constructor(paths: readonly string[], privileged: boolean) {
    this.#prefix = overlayPrefix(privileged);
    for (const path of paths) this.#roots.push(openRoot(path));
  }

  get all(): number[] {
    return this.#roots.map((_, index) => index);
  }

  /**
   * What shows at `names` when these lowers are looked at, for a directory with all that merge there,
   * nearest first; null when nothing does.
   */
  find(indices: readonly number[], names: readonly string[]): Below | null {
    let top: Stat | null = null;
    const merged: number[] = [];
    for (const index of indices) {
      const fd = this.#open(index, names, lookFlags);
      if (fd === null) continue;
      let opaque = false;
      try {
        const stat = fstat(fd);
        const directory = (stat.mode & S_IFMT) === S_IFDIR;
        if (!directory && (top !== null || isWhiteout(stat))) break;
        if (!directory) return { stat, lowers: [index] };
        top ??= stat;
        merged.push(index);
        opaque = this.#isOpaque(index, names);
      } finally {
        close(fd);
      }
      if (opaque) break;
    }
    return top === null ? null : { stat: top, lowers: merged };
  }

  /** All that overlayfs would show of a directory of the nearest of these lowers. */
  attributes(index: number, names: readonly string[]): DirAttributes {
    const fd = this.#must(index, names, directoryFlags);
    try {
      const stat = fstat(fd);
      return {
        mode: stat.mode & 0o7777,
        uid: stat.uid,
        gid: stat.gid,
        mtime: { sec: Number(stat.mtimeSec), nsec: stat.mtimeNsec },
        xattrs: this.xattrs(fd),
      };
    } finally {
      close(fd);
    }
  }

  /** The xattrs of an open file, without those of overlayfs. */
  xattrs(fd: number): { name: Buffer; value: Buffer }[] {
    const found: { name: Buffer; value: Buffer }[] = [];
    for (const name of flistxattr(fd)) {
      if (keyOf(name).startsWith(this.#prefix)) continue;
      const value = fgetxattr(fd, name);
      if (value !== null) found.push({ name, value });
    }
    return found;
  }

  readlink(index: number, names: readonly string[]): Buffer {
    const fd = this.#must(index, names, lookFlags);
    try {
      return readlinkat(fd, '');
    } finally {
      close(fd);
    }
  }

  /** Opens a file of a lower layer for reading (with flags of its own where it is no regular file). */
  open(index: number, names: readonly string[], flags = openFileFlags): number {
    return this.#must(index, names, flags);
  }

  /** Names that show in a directory where these lowers merge. */
  names(indices: readonly number[], names: readonly string[]): string[] {
    const candidates = new Set<string>();
    for (const index of indices) {
      const fd = this.#open(index, names, directoryFlags);
      if (fd === null) continue;
      try {
        for (const entry of readdirAt(fd)) candidates.add(keyOf(entry.name));
      } finally {
        close(fd);
      }
    }
    return [...candidates].filter((name) => this.find(indices, [...names, name]) !== null);
  }

  close(): void {
    for (const fd of this.#roots.splice(0)) close(fd);
  }

  #open(index: number, names: readonly string[], flags: number): number | null {
    const fd = openBelow(this.#root(index), names, flags);
    if (fd === ENOENT || fd === ENOTDIR) return null;
    return check(fd, 'openat2', names.at(-1) ?? '.');
  }

  #root(index: number): number {
    const root = this.#roots[index];
    if (root === undefined) throw new RangeError(`no lower layer ${index}`);
    return root;
  }

  #must(index: number, names: readonly string[], flags: number): number {
    const fd = this.#open(index, names, flags);
    return fd ?? check(ENOENT, 'openat2', names.at(-1) ?? '.');
  }

  #isOpaque(index: number, names: readonly string[]): boolean {
    const fd = this.#must(index, names, directoryFlags);
    try {
      return fgetxattr(fd, `${this.#prefix}opaque`)?.toString('latin1') === 'y';
    } finally {
      close(fd);
    }
  }
}

const isWhiteout = (stat: Stat): boolean =>
  (stat.mode & S_IFMT) === S_IFCHR && stat.rdevMajor === 0 && stat.rdevMinor === 0;
