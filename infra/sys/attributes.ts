import { AT_SYMLINK_NOFOLLOW, S_IFMT, S_IFREG } from './constants.ts';
import { bind, bindNumber, check, cString, putInt64 } from './libc.ts';
import type { PathBytes } from './paths.ts';

const fchownatCall = bind('fchownat', 'int', ['int', 'ptr', 'uint', 'uint', 'int']);
const fchmodCall = bind('fchmod', 'int', ['int', 'uint']);
const fchmodatCall = bind('fchmodat', 'int', ['int', 'ptr', 'uint', 'int']);
const utimensatCall = bind('utimensat', 'int', ['int', 'ptr', 'ptr', 'int']);
const futimensCall = bind('futimens', 'int', ['int', 'ptr']);
const statxCall = bindNumber('statx', ['long', 'ptr', 'long', 'long', 'ptr']);

const empty = Buffer.from([0]);

/** fchownat(2). With an empty name and AT_EMPTY_PATH it acts on `dirfd` itself. Clears setuid, setgid and capabilities of files. */
export const fchownat = (dirfd: number, name: PathBytes, uid: number, gid: number, flags = 0): void =>
  void check(fchownatCall(dirfd, cString(name), uid, gid, flags), 'fchownat', name);

/** fchmod(2): untouched by umask. Not for O_PATH fds. */
export const fchmod = (fd: number, mode: number): void => void check(fchmodCall(fd, mode), 'fchmod');

/**
 * fchmodat(3) that never follows: a symlink at the name is EOPNOTSUPP, also one that somebody put there
 * just now (CVE-2021-32760 is a chmod that followed). The C library does it by fchmodat2 or an O_PATH fd.
 */
export const fchmodat = (dirfd: number, name: PathBytes, mode: number): void =>
  void check(fchmodatCall(dirfd, cString(name), mode, AT_SYMLINK_NOFOLLOW), 'fchmodat', name);

const times = Buffer.alloc(32); // two struct timespec

/**
 * utimensat(2), or futimens(3) when `name` is null. Seconds may be negative and beyond 2^32; nanoseconds
 * are 0 to 999999999, UTIME_OMIT or UTIME_NOW. Node's futimes goes through a double and loses both.
 */
export function utimensat(
  dirfd: number,
  name: PathBytes | null,
  atimeSec: number | bigint,
  atimeNsec: number,
  mtimeSec: number | bigint,
  mtimeNsec: number,
  flags = 0,
): void {
  putInt64(times, 0, atimeSec);
  putInt64(times, 8, atimeNsec);
  putInt64(times, 16, mtimeSec);
  putInt64(times, 24, mtimeNsec);
  if (name === null) check(futimensCall(dirfd, times), 'futimens');
  else check(utimensatCall(dirfd, cString(name), times, flags), 'utimensat', name);
}

/** What statx(2) tells of one inode. `mode` is with the S_IF* type; ask `typeOf` or mask it. */
export interface Stat {
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  size: number;
  blocks: number;
  ino: bigint;
  /** `major:minor` of the file system. */
  dev: string;
  rdevMajor: number;
  rdevMinor: number;
  atimeSec: bigint;
  atimeNsec: number;
  mtimeSec: bigint;
  mtimeNsec: number;
  /** Time of birth; 0 where the file system keeps none. */
  btimeSec: bigint;
  btimeNsec: number;
  mountId: bigint;
}

const statxBuffer = Buffer.alloc(256);
const allFields = 0xfff | 0x1000;

/** fstatat(2) without an exception for a missing name: null on ENOENT and ENOTDIR. */
export function tryFstatat(dirfd: number, name: PathBytes, flags = 0): Stat | null {
  const result = statxCall(dirfd, cString(name), flags, allFields, statxBuffer);
  if (result === -2 || result === -20) return null;
  check(result, 'statx', name);
  return readStat();
}

/** statx(2) as fstatat: give AT_SYMLINK_NOFOLLOW, or an empty name and AT_EMPTY_PATH for `dirfd` itself. */
export function fstatat(dirfd: number, name: PathBytes, flags = 0): Stat {
  check(statxCall(dirfd, cString(name), flags, allFields, statxBuffer), 'statx', name);
  return readStat();
}

/** statx(2) of an open fd, O_PATH ones too. */
export function fstat(fd: number): Stat {
  check(statxCall(fd, empty, 0x1000, allFields, statxBuffer), 'statx');
  return readStat();
}

const typeAndSize = 0x1 | 0x200;

/**
 * Bytes of the regular file of this name, by statx(2), links not followed; -1 where there is none. `name`
 * ends with NUL. For very many: nothing is made but the number.
 */
export function fileSizeAt(dirfd: number, name: Buffer): number {
  const result = statxCall(dirfd, name, AT_SYMLINK_NOFOLLOW, typeAndSize, statxBuffer);
  if (result === -2) return -1;
  check(result, 'statx', name);
  if ((statxBuffer.readUInt16LE(28) & S_IFMT) !== S_IFREG) return -1;
  return statxBuffer.readUInt32LE(40) + statxBuffer.readUInt32LE(44) * 2 ** 32;
}

/** struct statx: one layout on all architectures (include/uapi/linux/stat.h). */
function readStat(): Stat {
  const b = statxBuffer;
  return {
    nlink: b.readUInt32LE(16),
    uid: b.readUInt32LE(20),
    gid: b.readUInt32LE(24),
    mode: b.readUInt16LE(28),
    ino: b.readBigUInt64LE(32),
    size: Number(b.readBigUInt64LE(40)),
    blocks: Number(b.readBigUInt64LE(48)),
    atimeSec: b.readBigInt64LE(64),
    atimeNsec: b.readUInt32LE(72),
    btimeSec: b.readBigInt64LE(80),
    btimeNsec: b.readUInt32LE(88),
    mtimeSec: b.readBigInt64LE(112),
    mtimeNsec: b.readUInt32LE(120),
    rdevMajor: b.readUInt32LE(128),
    rdevMinor: b.readUInt32LE(132),
    dev: `${b.readUInt32LE(136)}:${b.readUInt32LE(140)}`,
    mountId: b.readBigUInt64LE(144),
  };
}
