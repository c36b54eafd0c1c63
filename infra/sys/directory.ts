import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from './constants.ts';
import { bindNumber, check } from './libc.ts';
import { close, openat, type PathBytes } from './paths.ts';

const getdents64Call = bindNumber('getdents64', ['long', 'ptr', 'long']);
const bufferBytes = 64 * 1024;

export interface DirectoryEntry {
  name: Buffer;
  /** d_type: 4 directory, 8 file, 10 symlink, 0 when the file system does not say (ask fstatat). */
  type: number;
  ino: bigint;
}

export const DT_UNKNOWN = 0;
export const DT_DIR = 4;
export const DT_REG = 8;
export const DT_LNK = 10;
export const DT_CHR = 2;

/** Bytes of memory for a folder of very many entries: fewer calls. */
const largeBytes = 256 * 1024;

/**
 * Calls `visit` with each name of an open directory, `.` and `..` too: where it starts in the bytes given; a
 * NUL ends it. The bytes are used again after the call. Fails with the error of getdents64(2).
 */
export function eachName(fd: number, visit: (bytes: Buffer, start: number) => void): void {
  const buffer = Buffer.allocUnsafe(largeBytes);
  for (;;) {
    const length = check(getdents64Call(fd, buffer, buffer.length), 'getdents64');
    if (length === 0) return;
    for (let at = 0; at < length; at += buffer.readUInt16LE(at + 16)) visit(buffer, at + 19);
  }
}

/**
 * The entries of a directory, without `.` and `..`, names as bytes. `dirfd` may be O_PATH: the
 * directory is opened anew (`name`, default itself), so an earlier position in it does not matter.
 */
export function readdirAt(dirfd: number, name: PathBytes = '.'): DirectoryEntry[] {
  const fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  try {
    const buffer = Buffer.allocUnsafe(bufferBytes);
    const entries: DirectoryEntry[] = [];
    for (;;) {
      const length = check(getdents64Call(fd, buffer, buffer.length), 'getdents64', name);
      if (length === 0) return entries;
      collect(buffer, length, entries);
    }
  } finally {
    close(fd);
  }
}

/** struct linux_dirent64: ino (8), off (8), reclen (2), type (1), name to its NUL (getdents(2)). */
function collect(buffer: Buffer, length: number, into: DirectoryEntry[]): void {
  for (let at = 0; at < length; at += buffer.readUInt16LE(at + 16)) {
    const start = at + 19;
    const end = buffer.indexOf(0, start);
    const dot =
      buffer[start] === 0x2e && (end === start + 1 || (end === start + 2 && buffer[start + 1] === 0x2e));
    if (dot) continue;
    into.push({
      ino: buffer.readBigUInt64LE(at),
      type: buffer.readUInt8(at + 18),
      name: Buffer.from(buffer.subarray(start, end)),
    });
  }
}
