import { bind, bindNumber, check, cString, putInt64 } from './libc.ts';

/** A path or one part of it: a Buffer where names come from strangers (any bytes but NUL). */
export type PathBytes = Buffer | string;

const openatCall = bind('openat', 'int', ['int', 'ptr', 'int', 'uint']);
const openat2Call = bindNumber('openat2', ['long', 'ptr', 'ptr', 'long']);
const closeCall = bind('close', 'int', ['int']);
const mkdiratCall = bind('mkdirat', 'int', ['int', 'ptr', 'uint']);
const mknodatCall = bindNumber('mknodat', ['long', 'ptr', 'long', 'long']);
const linkatCall = bind('linkat', 'int', ['int', 'ptr', 'int', 'ptr', 'int']);
const symlinkatCall = bind('symlinkat', 'int', ['ptr', 'int', 'ptr']);
const unlinkatCall = bind('unlinkat', 'int', ['int', 'ptr', 'int']);
const renameat2Call = bindNumber('renameat2', ['long', 'ptr', 'long', 'ptr', 'long']);
const readlinkatCall = bind('readlinkat', 'long', ['int', 'ptr', 'ptr', 'long']);

export interface OpenHow {
  flags: number;
  mode?: number;
  resolve?: number;
}

const how = Buffer.alloc(24); // struct open_how: three 64-bit fields (include/uapi/linux/openat2.h)

/** openat2(2) without an exception: the fd, or the negative error number. */
export function tryOpenat2(
  dirfd: number,
  path: PathBytes,
  { flags, mode = 0, resolve = 0 }: OpenHow,
): number {
  putInt64(how, 0, flags);
  putInt64(how, 8, mode);
  putInt64(how, 16, resolve);
  return openat2Call(dirfd, cString(path), how, how.length);
}

/**
 * openat2(2): opens below `dirfd` under the given RESOLVE_* rules. Give O_CLOEXEC in the flags. The fd
 * must be closed by `close` of this module (Node's own close warns of fds it did not open).
 */
export const openat2 = (dirfd: number, path: PathBytes, options: OpenHow): number =>
  check(tryOpenat2(dirfd, path, options), 'openat2', path);

/** openat(2) without an exception: the fd, or the negative error number. */
export const tryOpenat = (dirfd: number, path: PathBytes, flags: number, mode = 0): number =>
  openatCall(dirfd, cString(path), flags, mode);

/** openat(2). The mode is subject to the process's umask. */
export const openat = (dirfd: number, path: PathBytes, flags: number, mode = 0): number =>
  check(tryOpenat(dirfd, path, flags, mode), 'openat', path);

/** close(2), for fds opened through this module. */
export const close = (fd: number): void => void check(closeCall(fd), 'close');

/** mkdirat(2) without an exception: 0, or the negative error number. */
export const tryMkdirat = (dirfd: number, name: PathBytes, mode: number): number =>
  mkdiratCall(dirfd, cString(name), mode);
export const mkdirat = (dirfd: number, name: PathBytes, mode: number): void =>
  void check(tryMkdirat(dirfd, name, mode), 'mkdirat', name);

/** mknodat(2) of a device, FIFO or socket; `mode` includes the S_IF* type. Linux: 12-bit major, 20-bit minor. */
export function mknodat(dirfd: number, name: PathBytes, mode: number, major: number, minor: number): void {
  if (!(major >= 0 && major < 1 << 12 && minor >= 0 && minor < 1 << 20))
    throw new RangeError(`device number out of range: ${major}:${minor}`);
  check(mknodatCall(dirfd, cString(name), mode, encodeDevice(major, minor)), 'mknodat', name);
}

/** The kernel's 32-bit form of a device number (new_encode_dev in include/linux/kdev_t.h). */
const encodeDevice = (major: number, minor: number): number =>
  ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;

/** linkat(2). Without AT_SYMLINK_FOLLOW a symlink is linked itself. */
export const linkat = (
  oldDirfd: number,
  oldName: PathBytes,
  newDirfd: number,
  newName: PathBytes,
  flags = 0,
): void =>
  void check(
    linkatCall(oldDirfd, cString(oldName, 0), newDirfd, cString(newName, 1), flags),
    'linkat',
    newName,
  );

export const symlinkat = (target: PathBytes, dirfd: number, name: PathBytes): void =>
  void check(symlinkatCall(cString(target, 0), dirfd, cString(name, 1)), 'symlinkat', name);

/** unlinkat(2) without an exception: 0, or the negative error number. */
export const tryUnlinkat = (dirfd: number, name: PathBytes, flags = 0): number =>
  unlinkatCall(dirfd, cString(name), flags);
export const unlinkat = (dirfd: number, name: PathBytes, flags = 0): void =>
  void check(tryUnlinkat(dirfd, name, flags), 'unlinkat', name);

/** renameat2(2): `flags` may be RENAME_NOREPLACE or RENAME_EXCHANGE. */
export const renameat = (
  oldDirfd: number,
  oldName: PathBytes,
  newDirfd: number,
  newName: PathBytes,
  flags = 0,
): void =>
  void check(
    renameat2Call(oldDirfd, cString(oldName, 0), newDirfd, cString(newName, 1), flags),
    'renameat2',
    newName,
  );

const linkBuffer = Buffer.alloc(4096); // PATH_MAX: the kernel stores no longer target

/** The target of a symlink as stored. An empty `name` reads the link that `dirfd` (O_PATH|O_NOFOLLOW) stands for. */
export function readlinkat(dirfd: number, name: PathBytes): Buffer {
  const length = check(
    readlinkatCall(dirfd, cString(name), linkBuffer, linkBuffer.length),
    'readlinkat',
    name,
  );
  return Buffer.from(linkBuffer.subarray(0, length));
}
