import fs from 'node:fs';
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  fchmod,
  fchmodat,
  fchownat,
  flistxattr,
  fremovexattr,
  fsetxattr,
  isErrno,
  lremovexattr,
  lsetxattr,
  utimensat,
} from '../sys.ts';
import type { DirNode } from './dir-node.ts';
import { corrupt, unsupported } from './errors.ts';
import type { Time } from './numbers.ts';
import { keyOf } from './path.ts';
import type { Xattr } from './pax.ts';
import type { Report } from './report.ts';

/** What the attributes of something are, wherever they come from. */
export interface Attributes {
  mode: number;
  uid: number;
  gid: number;
  mtime: Time;
  xattrs: readonly Xattr[];
}

/** Labels of the host's own security, and overlayfs's own: a layer could forge what only they may say (cases 33, 35). */
const foreignNames: readonly string[] = [
  'security.selinux',
  'security.ima',
  'security.evm',
  'system.nfs4_acl',
];
const foreignPrefixes: readonly string[] = ['trusted.overlay.', 'user.overlay.'];

const isForeign = (name: string): boolean =>
  foreignNames.includes(name) || foreignPrefixes.some((prefix) => name.startsWith(prefix));

/** The xattrs of an entry that an image may carry; what is dropped is reported. */
export function keptXattrs(xattrs: readonly Xattr[], entry: Buffer, report: Report): readonly Xattr[] {
  return xattrs.filter(({ name }) => {
    const foreign = isForeign(keyOf(name));
    if (foreign) report.warn('xattr_dropped', entry);
    return !foreign;
  });
}

const accessAcl = 'system.posix_acl_access';
const defaultAcl = 'system.posix_acl_default';

/** What a directory hands down to what is made in it: its group, if it is set-gid, and perhaps an ACL. */
export type Handing = Pick<DirNode, 'gid' | 'defaultAcl'>;

/** The umask of this process, without changing it for a moment as umask(2) must; all bits where it cannot be read. */
function umaskNow(): number {
  try {
    const shown = /^Umask:\s*([0-7]+)$/m.exec(fs.readFileSync('/proc/self/status', 'latin1'))?.[1];
    return shown === undefined ? 0o777 : Number.parseInt(shown, 8);
  } catch {
    return 0o777;
  }
}

/**
 * Sets attributes on what is made, in the one order that works: owner, xattrs, mode, times (case 31). What is
 * so already is left alone: each call changes an inode.
 */
export class AttributeSetter {
  readonly #privileged: boolean;
  readonly #report: Report;
  /** Files are made with this group where their directory has it too: then chown can be spared. */
  readonly #ownGid: number;
  readonly #ownUid: number;
  readonly #umask = umaskNow();

  constructor(privileged: boolean, report: Report) {
    this.#privileged = privileged;
    this.#report = report;
    this.#ownUid = process.geteuid?.() ?? -1;
    this.#ownGid = process.getegid?.() ?? -1;
  }

  /** The mode to make a file with: its own, where that is all that there is to it. */
  firstMode(attributes: Attributes, dir: Handing): number {
    return this.#isPlain(attributes, dir) ? attributes.mode : 0o600;
  }

  /** An ACL, handed down or of its own, has a word in the mode; the umask takes bits away. */
  #isPlain({ mode, xattrs }: Attributes, { defaultAcl }: Handing): boolean {
    return (mode & (this.#umask | 0o7000)) === 0 && xattrs.length === 0 && !defaultAcl;
  }

  /** A new file in `dir`, by its fd, and the mode that it was made with. */
  file(fd: number, made: number, attributes: Attributes, dir: Handing, entry: Buffer): void {
    const { mode, uid, gid, mtime, xattrs } = attributes;
    if (!this.#privileged) this.#tellOwner(uid, gid, entry);
    else if (this.#isOther(uid, gid, dir.gid)) fchownat(fd, '', uid, gid, AT_EMPTY_PATH);
    if (dir.defaultAcl) this.#clean(() => fremovexattr(fd, accessAcl));
    if (xattrs.length > 0) this.#xattrs(xattrs, entry, (name, value) => fsetxattr(fd, name, value));
    if (made !== mode || !this.#isPlain(attributes, dir)) fchmod(fd, this.#mode(mode, entry));
    utimensat(fd, null, mtime.sec, mtime.nsec, mtime.sec, mtime.nsec);
  }

  /** Whether what was made in a directory of that group is not its entry's. Linux hands down the group of a set-gid one. */
  #isOther(uid: number, gid: number, dirGid: number): boolean {
    return uid !== this.#ownUid || gid !== this.#ownGid || gid !== dirGid;
  }

  /** A new symlink, device or FIFO, by its name in an open directory, `dir`. Links have no mode (case 32). */
  node(
    dirFd: number,
    name: Buffer,
    isLink: boolean,
    attributes: Attributes,
    dir: Handing,
    entry: Buffer,
  ): void {
    const { mode, uid, gid, mtime, xattrs } = attributes;
    const path = () => Buffer.concat([Buffer.from(`/proc/self/fd/${dirFd}/`), name]);
    if (!this.#privileged) this.#tellOwner(uid, gid, entry);
    else if (this.#isOther(uid, gid, dir.gid)) fchownat(dirFd, name, uid, gid, AT_SYMLINK_NOFOLLOW);
    if (dir.defaultAcl && !isLink) this.#clean(() => lremovexattr(path(), accessAcl));
    if (xattrs.length > 0) {
      const at = path();
      this.#xattrs(xattrs, entry, (key, value) => lsetxattr(at, key, value));
    }
    if (!isLink) fchmodat(dirFd, name, this.#mode(mode, entry));
    utimensat(dirFd, name, mtime.sec, mtime.nsec, mtime.sec, mtime.nsec, AT_SYMLINK_NOFOLLOW);
  }

  /** A directory, by its fd, once nothing more is made in it. What it had before is replaced. */
  directory(fd: number, attributes: Attributes, keep: readonly string[], entry: Buffer): void {
    const { mode, uid, gid, mtime, xattrs } = attributes;
    if (!this.#privileged) this.#tellOwner(uid, gid, entry);
    else fchownat(fd, '', uid, gid, AT_EMPTY_PATH);
    for (const name of flistxattr(fd)) {
      const key = keyOf(name);
      if (keep.includes(key) || foreignNames.includes(key)) continue;
      if (this.#privileged || key.startsWith('user.') || key === accessAcl || key === defaultAcl)
        this.#clean(() => fremovexattr(fd, name));
    }
    this.#xattrs(xattrs, entry, (name, value) => fsetxattr(fd, name, value));
    fchmod(fd, this.#mode(mode, entry));
    utimensat(fd, null, mtime.sec, mtime.nsec, mtime.sec, mtime.nsec);
  }

  #clean(remove: () => void): void {
    try {
      remove();
    } catch (error) {
      if (!isErrno(error, 'ENODATA', 'EOPNOTSUPP')) throw error;
    }
  }

  #tellOwner(uid: number, gid: number, entry: Buffer): void {
    if (uid !== this.#ownUid || gid !== this.#ownGid) this.#report.warn('owner_unprivileged', entry);
  }

  /** Without its owner, a set-uid program would run as whoever unpacked it. */
  #mode(mode: number, entry: Buffer): number {
    if (this.#privileged || (mode & 0o6000) === 0) return mode;
    this.#report.warn('setuid_unprivileged', entry);
    return mode & ~0o6000;
  }

  #xattrs(xattrs: readonly Xattr[], entry: Buffer, set: (name: Buffer, value: Buffer) => void): void {
    for (const { name, value } of keptXattrs(xattrs, entry, this.#report)) {
      const key = keyOf(name);
      if (!this.#privileged && /^(security|trusted)\./.test(key)) {
        this.#report.warn('xattr_unprivileged', entry);
        continue;
      }
      try {
        set(name, value);
      } catch (error) {
        this.#refused(error, key, entry);
      }
    }
  }

  /** What the kernel says of an xattr: a word for what it merely does not keep, an error for what would be lost. */
  #refused(error: unknown, name: string, entry: Buffer): void {
    if (isErrno(error, 'EOPNOTSUPP', 'EPERM')) this.#report.warn('xattr_refused', entry);
    else if (isErrno(error, 'EINVAL')) throw corrupt(`the value of xattr ${name} makes no sense`, entry);
    else if (isErrno(error, 'E2BIG', 'ERANGE')) throw unsupported(`xattr ${name} is too large`, entry);
    else throw error;
  }
}
