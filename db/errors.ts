import { accessSync, closeSync, constants, openSync, readSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { type ErrorDetails, type FlydError, quotaHint, recoverable, unrecoverable } from '#core/errors';
import { refusedRoom } from './room.ts';

/** The code that SQLite gave, such as `SQLITE_IOERR_READ`; empty for any other error. */
export const sqliteCode = (thrown: unknown): string =>
  thrown instanceof Error &&
  thrown.name === 'SqliteError' &&
  'code' in thrown &&
  typeof thrown.code === 'string'
    ? thrown.code
    : '';

/** Another process has the lock. */
export const isBusy = (thrown: unknown): boolean => sqliteCode(thrown).startsWith('SQLITE_BUSY');

/** What to do about a database that cannot be read. */
export const restoreHint =
  'it was left as it is; flyd db restore FILE puts a backup in its place, and keeps this one in log/; without a backup: flyd db new';

/**
 * What SQLite threw as a FlydError with the file as its subject; every other error as it is. Codes:
 * `database_corrupt`, `database_busy`, `database_readonly`, `database_failed`, `no_space`, `permission`.
 */
export function databaseError(thrown: unknown, path: string, op: string): unknown {
  const code = sqliteCode(thrown);
  if (code === '') return thrown;
  const details = { op: `database.${op}`, subject: path, cause: thrown, facts: { sqlite: code } };
  // Extended codes begin with the name of the plain one (sqlite.org/rescode.html).
  const kind = /^SQLITE_[A-Z]+/.exec(code)?.[0];
  switch (kind) {
    case 'SQLITE_CORRUPT':
    case 'SQLITE_NOTADB':
      // SQLite itself says `malformed` where a read ended with EIO (SQLITE_IOERR_CORRUPTFS).
      if (!canBeRead(path)) return diskError(path, 'a read failed (EIO)');
      return unrecoverable('database_corrupt', 'the database is damaged', { ...details, hint: restoreHint });
    case 'SQLITE_BUSY':
    case 'SQLITE_LOCKED':
      return busyError(path, thrown);
    case 'SQLITE_FULL':
      return fullError(path, details);
    case 'SQLITE_READONLY':
    case 'SQLITE_CANTOPEN':
      return (
        accessError(path, thrown) ??
        (isFull(path) ? fullError(path, details) : null) ??
        recoverable('database_failed', messageOf(thrown), { ...details, hint: diskHint })
      );
    // Disk trouble may heal; a statement that the schema refuses is a bug, and will be refused again.
    case 'SQLITE_IOERR':
      if (isFull(path)) return fullError(path, details);
      return recoverable('database_failed', messageOf(thrown), { ...details, hint: diskHint });
    default:
      return unrecoverable('database_failed', messageOf(thrown), details);
  }
}

/**
 * What a command may want at least: the index of the log (32 KiB, and SQLite does not say that it was a full
 * disk which refused that), a few pages in the log, and the like again in the file.
 */
const roomBytesMin = 256 * 1024;

/** The log, its index, and one to spare. */
const inodesMin = 3;

/** What is free where the file is; null where that cannot be told, and of inodes where there is no end of them. */
function freeAt(path: string): { bytes: number; inodes: number | null } | null {
  try {
    const { bavail, bsize, files, ffree } = statfsSync(dirname(path));
    return { bytes: bavail * bsize, inodes: files > 0 ? ffree : null };
  } catch {
    return null; // then the disk is not what SQLite complains of, as far as we know
  }
}

function isFull(path: string): boolean {
  const free = freeAt(path);
  if (free !== null && (free.bytes < roomBytesMin || (free.inodes ?? inodesMin) < inodesMin)) return true;
  // SQLite calls a quota that is used up an I/O error (SQLITE_IOERR_WRITE).
  return refusedRoom(path, roomBytesMin) !== null;
}

/** `no_space` for the database at `path`, with what is free and what is wanted; or that it is a quota. */
export function fullError(path: string, details: ErrorDetails): FlydError {
  if (refusedRoom(path, roomBytesMin) === 'EDQUOT')
    return recoverable('no_space', 'there is no room for the database: a quota is used up', {
      ...details,
      hint: quotaHint,
    });
  const free = freeAt(path);
  const lacksInodes = free !== null && free.bytes >= roomBytesMin && (free.inodes ?? inodesMin) < inodesMin;
  const [there, wanted] = lacksInodes
    ? [`${free.inodes} inodes`, `${inodesMin}`]
    : [`${Math.floor((free?.bytes ?? 0) / 1024)} KiB`, `${roomBytesMin / 1024} KiB`];
  return recoverable(
    'no_space',
    `the file system of the database is full: ${there} free, ${wanted} are needed`,
    {
      ...details,
      hint: `make room on it (df ${lacksInodes ? '-i ' : ''}${dirname(path)}): flyd gc, flyd rm and flyd deactivate have a reserve to work with; where that is used up, remove something else; then the same again`,
    },
  );
}

const messageOf = (thrown: unknown): string => `the database refused: ${(thrown as Error).message}`;

/** The disk of the database could not read or write it. */
export const diskError = (path: string, what: string): FlydError =>
  recoverable('database_failed', `the database cannot be read: ${what.replace(/\s+/g, ' ')}`, {
    op: 'database.open',
    subject: path,
    hint: diskHint,
  });

/** Whether all of the file can be read. For what is given up only: closing it drops this process's locks on it. */
function canBeRead(path: string): boolean {
  const piece = Buffer.allocUnsafe(1024 * 1024);
  try {
    const fd = openSync(path, 'r');
    try {
      while (readSync(fd, piece) > 0);
    } finally {
      closeSync(fd);
    }
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'EIO';
  }
}

const diskHint = 'look at the disk (dmesg, df) and at `flyd doctor`; then the same again: nothing is lost';

/** The database stayed locked. */
export const busyError = (path: string, cause: unknown): FlydError =>
  recoverable('database_busy', 'another process keeps the database locked', {
    op: 'database.lock',
    subject: path,
    hint: `see which: fuser -v ${path}; then the same again, or longer: --timeout databaseMs=60000`,
    cause,
  });

/** Why the file or its folder cannot be used, by what the file system says; null when it says nothing. */
export function accessError(path: string, cause: unknown): FlydError | null {
  const details = { op: 'database.open', subject: path, cause };
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isFile() === false)
    return unrecoverable('database_corrupt', 'in the place of the database is something that is no file', {
      ...details,
      hint: 'move it away; then flyd db restore FILE',
    });
  const places = found === undefined ? [dirname(path)] : [path, dirname(path)];
  for (const place of places) {
    const errno = refusalOf(place);
    if (errno === 'EROFS')
      return recoverable('database_readonly', 'the database is on a file system that is mounted read-only', {
        ...details,
        hint: `see it: findmnt -T ${place}; mount it read-write (mount -o remount,rw), then the same again`,
      });
    if (errno !== null)
      return unrecoverable('permission', `this user may not write ${place}`, {
        ...details,
        hint: `see whose it is: ls -ld ${place}; run flyd as its owner, then the same again`,
      });
  }
  return null;
}

function refusalOf(path: string): string | null {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'EACCES';
  }
}
