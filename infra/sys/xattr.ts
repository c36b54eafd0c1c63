import { SysError } from './error.ts';
import { bind, check, cString } from './libc.ts';
import type { PathBytes } from './paths.ts';

const set = { l: bind('lsetxattr', 'int', ['ptr', 'ptr', 'ptr', 'long', 'int']), f: fd('fsetxattr') };
const lgetCall = bind('lgetxattr', 'long', ['ptr', 'ptr', 'ptr', 'long']);
const fgetCall = bind('fgetxattr', 'long', ['int', 'ptr', 'ptr', 'long']);
const llistCall = bind('llistxattr', 'long', ['ptr', 'ptr', 'long']);
const flistCall = bind('flistxattr', 'long', ['int', 'ptr', 'long']);
const lremoveCall = bind('lremovexattr', 'int', ['ptr', 'ptr']);
const fremoveCall = bind('fremovexattr', 'int', ['int', 'ptr']);

function fd(name: string) {
  return bind(name, 'int', ['int', 'ptr', 'ptr', 'long', 'int']);
}

/** The VFS stops at 64 KiB for a value and for a list (include/uapi/linux/limits.h). */
const buffer = Buffer.alloc(64 * 1024);
const ENODATA = -61;

/** lsetxattr(2): on the link itself when `path` is a symlink. */
export const lsetxattr = (path: PathBytes, name: PathBytes, value: Buffer, flags = 0): void =>
  void check(set.l(cString(path, 0), cString(name, 1), value, value.length, flags), 'lsetxattr', path);

/** fsetxattr(2). Not for O_PATH fds: there use lsetxattr with `/proc/self/fd/<parent fd>/<name>`. */
export const fsetxattr = (fileFd: number, name: PathBytes, value: Buffer, flags = 0): void =>
  void check(set.f(fileFd, cString(name), value, value.length, flags), 'fsetxattr', name);

/** The value, or null when the attribute is not there. */
export const lgetxattr = (path: PathBytes, name: PathBytes): Buffer | null =>
  taken(lgetCall(cString(path, 0), cString(name, 1), buffer, buffer.length), 'lgetxattr', path);
export const fgetxattr = (fileFd: number, name: PathBytes): Buffer | null =>
  taken(fgetCall(fileFd, cString(name), buffer, buffer.length), 'fgetxattr', name);

function taken(length: number, syscall: string, path: PathBytes): Buffer | null {
  if (length === ENODATA) return null;
  return Buffer.from(buffer.subarray(0, check(length, syscall, path)));
}

/** Names of all attributes that this process may see (trusted.* only with CAP_SYS_ADMIN). Empty where xattrs are not supported. */
export const llistxattr = (path: PathBytes): Buffer[] =>
  names(llistCall(cString(path), buffer, buffer.length), 'llistxattr', path);
export const flistxattr = (fileFd: number): Buffer[] =>
  names(flistCall(fileFd, buffer, buffer.length), 'flistxattr');

function names(length: number, syscall: string, path?: PathBytes): Buffer[] {
  if (length === -95) return [];
  check(length, syscall, path);
  const found: Buffer[] = [];
  for (let start = 0; start < length; ) {
    const end = buffer.indexOf(0, start);
    if (end === -1 || end >= length) throw new SysError(syscall, 34, path);
    found.push(Buffer.from(buffer.subarray(start, end)));
    start = end + 1;
  }
  return found;
}

export const lremovexattr = (path: PathBytes, name: PathBytes): void =>
  void check(lremoveCall(cString(path, 0), cString(name, 1)), 'lremovexattr', path);
export const fremovexattr = (fileFd: number, name: PathBytes): void =>
  void check(fremoveCall(fileFd, cString(name)), 'fremovexattr', name);
