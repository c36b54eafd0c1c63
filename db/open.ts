import { closeSync, existsSync, fstatSync, openSync, readSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import SqliteDatabase, { type Database } from 'better-sqlite3';
import { FlydError, unrecoverable } from '#core/errors';
import { accessError, databaseError, diskError, fullError, restoreHint } from './errors.ts';
import { guardStatements } from './guarded.ts';
import { isMigrated, type MigrationSet, migrate, refuseNewerSets } from './migrate.ts';
import { refusedRoom } from './room.ts';
import { lockWaitMs, type MakeRoom, makeRoomFor, setLockWait, setMakeRoom, withRetry } from './waiting.ts';

/** `flyd` in ASCII: tells our databases from everybody else's (SQLite file format, offset 68). */
const applicationId = 0x666c7964;
/** The way the sets are laid out in one file; each set has a version of its own besides. */
const layoutVersion = 1;

const magic = 'SQLite format 3\0';
const headBytes = 100;

export interface OpenOptions {
  /** Refuse every write: for looking at a database that somebody else owns. */
  readonly?: boolean;
  /** For one who reads all of a large database: pages that are read again and again are kept. */
  readsMuch?: boolean;
  /** How long to wait for a lock that another process has, in ms. Default 20 s. */
  waitMs?: number;
  /** Called when a write finds the disk full; it is done again if this says that there is room now. */
  makeRoom?: MakeRoom;
}

/**
 * Opens (and makes, when absent) a database with the tables of `sets`. Nothing is written to a file
 * that is not flyd's, is damaged, or is newer than this build: those throw `database_foreign`,
 * `database_corrupt` or `database_newer` and leave the file as it was.
 */
export function openDatabase(
  path: string,
  sets: readonly MigrationSet[],
  options: OpenOptions = {},
): Database {
  const { readonly = false, waitMs = lockWaitMs } = options;
  const fresh = path === ':memory:' || !existsSync(path);
  if (!fresh) refuseOtherFiles(path);
  if (path !== ':memory:') refuseNoIndex(path, options.makeRoom);
  let db: Database;
  try {
    db = new SqliteDatabase(path, { timeout: 0, readonly });
  } catch (cause) {
    throw databaseError(cause, path, 'open');
  }
  setLockWait(db, waitMs);
  if (options.makeRoom !== undefined) setMakeRoom(db, options.makeRoom);
  guardStatements(db);
  try {
    if (options.readsMuch === true) db.pragma(`cache_size = -${muchCacheKiB}`);
    prepare(db, sets, readonly);
    return db;
  } catch (cause) {
    db.close();
    throw databaseError(cause, path, 'open');
  }
}

/** SQLite's own cache has 2 MiB: less than one index over a hundred thousand rows. */
const muchCacheKiB = 64 * 1024;

function prepare(db: Database, sets: readonly MigrationSet[], readonly: boolean): void {
  db.pragma('trusted_schema = OFF');
  db.pragma('foreign_keys = ON');
  withRetry(db, () => checkIdentity(db));
  withRetry(db, () => refuseDamage(db));
  if (readonly) refuseNewerSets(db, sets);
  else {
    withRetry(db, () => {
      if (db.pragma('journal_mode', { simple: true }) !== 'wal') db.pragma('journal_mode = WAL');
      // Most opens find nothing to do: they ask for no lock and cost no fsync.
      if (isOurs(db) && isMigrated(db, sets)) return;
      writeTransaction(db, () => {
        migrate(db, sets);
        db.pragma(`application_id = ${applicationId}`);
        db.pragma(`user_version = ${layoutVersion}`);
      });
    });
  }
  // better-sqlite3 is built with WAL's default at NORMAL, which may lose the last commits in a power cut.
  db.pragma('synchronous = FULL');
  if (db.pragma('synchronous', { simple: true }) !== 2)
    throw unrecoverable('database_failed', 'synchronous=FULL did not hold', { subject: db.name });
}

const isOurs = (db: Database): boolean =>
  db.pragma('application_id', { simple: true }) === applicationId &&
  db.pragma('user_version', { simple: true }) === layoutVersion;

function checkIdentity(db: Database): void {
  const id = db.pragma('application_id', { simple: true });
  const version = db.pragma('user_version', { simple: true }) as number;
  const tables = db.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE type = 'table'").get() as {
    n: number;
  };
  if (id !== applicationId && !(id === 0 && tables.n === 0))
    throw unrecoverable('database_foreign', 'the file is an SQLite database, but not one of flyd', {
      op: 'database.open',
      subject: db.name,
      hint: 'move it away; then flyd db restore FILE, or give another --state-dir',
    });
  if (version > layoutVersion)
    throw unrecoverable(
      'database_newer',
      `the database has layout ${version}; this build knows ${layoutVersion}`,
      {
        op: 'database.open',
        subject: db.name,
        hint: 'use the newer flyd that wrote it, or another --state-dir',
      },
    );
}

/** Above this a look at every page, 4 microseconds each, would hold up each command; `flyd doctor` looks then. */
const checkedPagesMax = 2_048;

function refuseDamage(db: Database): void {
  if ((db.pragma('page_count', { simple: true }) as number) > checkedPagesMax) return;
  const damage = findDamage(db);
  if (damage !== null)
    throw unrecoverable('database_corrupt', 'the database is damaged', {
      op: 'database.open',
      subject: db.name,
      hint: restoreHint,
      facts: { quickCheck: damage.slice(0, 200) },
    });
}

/** What is damaged, as SQLite says it; null when nothing is. Throws `database_failed` where the disk cannot read it. */
export function findDamage(db: Database): string | null {
  const verdict = String(db.pragma('quick_check(1)', { simple: true }));
  if (verdict === 'ok') return null;
  // Not thrown, but told: `unable to get the page. error code=266`, whose low byte is SQLITE_IOERR (sqlite.org/rescode.html).
  const code = Number(/error code=(\d+)/.exec(verdict)?.[1] ?? 0);
  if ((code & 0xff) === 10) throw diskError(db.name, verdict);
  return verdict;
}

/** A file that is no database at all, or was cut, is refused by its first bytes, before SQLite may touch it. */
function refuseOtherFiles(path: string): void {
  const refused = (what: string): FlydError =>
    unrecoverable('database_corrupt', what, { op: 'database.open', subject: path, hint: restoreHint });
  const head = Buffer.alloc(headBytes);
  const fd = openForLook(path);
  let read: number;
  let size: number;
  try {
    size = fstatSync(fd).size;
    read = readSync(fd, head, 0, head.length, 0);
  } catch (cause) {
    throw accessError(path, cause) ?? cause;
  } finally {
    closeSync(fd);
  }
  if (read === 0) return;
  if (head.toString('latin1', 0, Math.min(read, magic.length)) !== magic)
    throw refused('the file is not an SQLite database');
  // File format, offset 16: the size of a page, where 1 stands for 65,536. A log may have the rest of a cut one.
  const pageBytes = head.readUInt16BE(16) === 1 ? 65_536 : head.readUInt16BE(16);
  const log = statSync(`${path}-wal`, { throwIfNoEntry: false });
  if (size % Math.max(512, pageBytes) !== 0 && (log?.size ?? 0) === 0)
    throw refused(`the file was cut: it ends in the middle of a page, at ${size} bytes`);
}

/** The index of the log as SQLite begins it, and its one byte a page of this size (sqlite3, os_unix.c). */
const indexBytes = 32 * 1024;
const indexPageBytes = 4096;

/**
 * SQLite maps the index of its log into memory, after it has written one byte of each page. Where blocks are smaller
 * than a page, the rest of it gets its blocks when it is first touched, and a full disk then ends the process by
 * SIGBUS. So there it is tried first whether so much can be written: `no_space`.
 */
function refuseNoIndex(path: string, makeRoom?: MakeRoom): void {
  if (blockBytesAt(path) >= indexPageBytes || refusedRoom(path, 2 * indexBytes) === null) return;
  if (makeRoom?.() !== true) throw fullError(path, { op: 'database.open', subject: path });
  refuseNoIndex(path);
}

function blockBytesAt(path: string): number {
  try {
    return statfsSync(dirname(path)).bsize;
  } catch {
    return indexPageBytes; // SQLite says it better
  }
}

function openForLook(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    throw accessError(path, cause) ?? cause;
  }
}

/** One immediate transaction, rolled back on a throw. */
export function writeTransaction<T>(db: Database, work: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    db.exec('COMMIT');
    return result;
  } catch (cause) {
    if (db.inTransaction) db.exec('ROLLBACK');
    throw cause;
  }
}

/**
 * A write of any process: immediate, retried while locked (by default as long as the connection waits) and
 * when room can be made on a full disk, foreign errors translated.
 */
export function write<T>(db: Database, work: () => T, waitMs?: number): T {
  try {
    return withRetry(db, () => writeTransaction(db, work), waitMs);
  } catch (cause) {
    const error = databaseError(cause, db.name, 'write');
    if (isNoSpace(error) && makeRoomFor(db)) return write(db, work, waitMs);
    throw error;
  }
}

const isNoSpace = (error: unknown): boolean => error instanceof FlydError && error.code === 'no_space';

/** Writes what the database at `path` holds to a new file, whoever else uses it; the original is only read. */
export function copyDatabase(path: string, to: string): void {
  const source = new SqliteDatabase(path, { readonly: true, fileMustExist: true });
  try {
    withRetry(source, () => source.prepare('VACUUM INTO ?').run(to));
  } finally {
    source.close();
  }
}
