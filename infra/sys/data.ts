import { bind, bindNumber, check, putInt64 } from './libc.ts';

const fallocateCall = bind('fallocate', 'int', ['int', 'int', 'long', 'long']);
const ftruncateCall = bind('ftruncate', 'int', ['int', 'long']);
const lseekCall = bind('lseek', 'long', ['int', 'long', 'int']);
const syncFileRangeCall = bind('sync_file_range', 'int', ['int', 'long', 'long', 'uint']);
const syncfsCall = bind('syncfs', 'int', ['int']);
const ioctlCall = bind('ioctl', 'int', ['int', 'long', 'long']);
const copyFileRangeCall = bindNumber('copy_file_range', ['long', 'ptr', 'long', 'ptr', 'long', 'long']);

const FICLONE = 0x40049409; // _IOW(0x94, 9, int), the same on x64 and arm64

/** fallocate(2): reserves `length` bytes from `offset` on; `mode` 0 grows the file. */
export const fallocate = (fd: number, mode: number, offset: number, length: number): void =>
  void check(fallocateCall(fd, mode, offset, length), 'fallocate');

/** ftruncate(2), with sizes up to 2^53. */
export const ftruncate = (fd: number, bytes: number): void =>
  void check(ftruncateCall(fd, bytes), 'ftruncate');

const SYNC_FILE_RANGE_WRITE = 2;

/**
 * sync_file_range(2): asks the kernel to begin writing this range out, and waits for nothing; a later fsync(2)
 * has so much less to do. A file system that does not know how loses nothing by it.
 */
export const beginWriteback = (fd: number, offset: number, length: number): void =>
  void syncFileRangeCall(fd, offset, length, SYNC_FILE_RANGE_WRITE);

/** syncfs(2): everything of the file system that `fd` is on is on the disk, or this throws (errors of write-back since Linux 5.8). */
export const syncfs = (fd: number): void => void check(syncfsCall(fd), 'syncfs');

/** Shares the blocks of `from` with `to` (btrfs, xfs); throws EOPNOTSUPP, EXDEV or EINVAL where that cannot be. */
export const reflink = (from: number, to: number): void =>
  void check(ioctlCall(to, FICLONE, from), 'ficlone');

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const ENXIO = -6;

/**
 * The next stretch of data at or after `offset`, in bytes, or null when only a hole follows (lseek(2),
 * SEEK_DATA and SEEK_HOLE). A file system that knows no holes shows the whole file as data.
 */
export function nextData(fd: number, offset: number): { start: number; end: number } | null {
  const start = lseekCall(fd, offset, SEEK_DATA);
  if (start === ENXIO) return null;
  check(start, 'lseek');
  return { start, end: check(lseekCall(fd, start, SEEK_HOLE), 'lseek') };
}

const offsets = [Buffer.alloc(8), Buffer.alloc(8)] as const;

/** copy_file_range(2): bytes copied, 0 at the end of `from`. Both files are read and written at the given offsets. */
export function copyFileRange(
  from: number,
  fromOffset: number,
  to: number,
  toOffset: number,
  length: number,
): number {
  putInt64(offsets[0], 0, fromOffset);
  putInt64(offsets[1], 0, toOffset);
  return check(copyFileRangeCall(from, offsets[0], to, offsets[1], length, 0), 'copy_file_range');
}
