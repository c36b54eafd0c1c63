import fs from 'node:fs';
import { beginWriteback, copyFileRange, ftruncate, isErrno, nextData, reflink } from '../sys.ts';
import type { Entry, TarReader } from './tar.ts';

const pieceBytes = 4 * 1024 * 1024;
/** Files from here on are on their way to the disk at once; the many small ones it takes better together. */
const writebackBytes = 1024 * 1024;

/** Writes an entry's data into its new file: in order, or to the places of its sparse map, holes left alone (case 54). */
export function writeBody(fd: number, entry: Entry, reader: TarReader): void {
  if (entry.sparse === null) {
    writeRun(fd, 0, entry.size, reader);
    return;
  }
  for (const { offset, length } of entry.sparse.fragments) writeRun(fd, offset, length, reader);
  ftruncate(fd, entry.sparse.realSize);
}

function writeRun(fd: number, offset: number, length: number, reader: TarReader): void {
  for (let done = 0; done < length; ) {
    const piece = reader.body(Math.min(pieceBytes, length - done));
    for (let at = 0; at < piece.length; )
      at += fs.writeSync(fd, piece, at, piece.length - at, offset + done + at);
    done += piece.length;
  }
  if (length >= writebackBytes) beginWriteback(fd, offset, length);
}

/**
 * Copies a whole file from one fd to another: by shared blocks, in the kernel, or by hand. Holes stay
 * holes: a file of terabytes without data takes no time and no space.
 */
export function copyFile(from: number, to: number, size: number): void {
  try {
    reflink(from, to);
    return;
  } catch (error) {
    if (!isErrno(error, 'EOPNOTSUPP', 'EINVAL', 'EXDEV', 'ENOTTY', 'EBADF')) throw error;
  }
  for (let at = 0; at < size; ) {
    const data = nextData(from, at);
    if (data === null) break;
    copyStretch(from, to, data.start, Math.min(data.end, size));
    at = data.end;
  }
  ftruncate(to, size);
}

function copyStretch(from: number, to: number, start: number, end: number): void {
  let at = start;
  try {
    while (at < end) {
      const copied = copyFileRange(from, at, to, at, end - at);
      if (copied === 0) break;
      at += copied;
    }
  } catch (error) {
    if (!isErrno(error, 'EXDEV', 'EINVAL', 'EOPNOTSUPP', 'ENOSYS')) throw error;
  }
  const buffer = Buffer.allocUnsafe(Math.min(end - at, 1024 * 1024));
  while (at < end) {
    const read = fs.readSync(from, buffer, 0, Math.min(buffer.length, end - at), at);
    if (read === 0) break;
    for (let done = 0; done < read; ) done += fs.writeSync(to, buffer, done, read - done, at + done);
    at += read;
  }
}
