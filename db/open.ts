import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import SqliteDatabase, { type Database } from 'better-sqlite3';
import { FlydError, recoverable, unrecoverable } from '#core/errors';
import { isMigrated, type MigrationSet, migrate } from './migrate.ts';

/** `flyd` in ASCII: tells our databases from everybody else's (SQLite file format, offset 68). */
const applicationId = 0x666c7964;
/** The way the sets are laid out in one file; each set has a version of its own besides. */
const layoutVersion = 1;

const magic = 'SQLite format 3\0';

export interface OpenOptions {
  /** Refuse every write: for looking at a database that somebody else owns. */
  readonly?: boolean;
  /** For one who reads all of a large database: pages that are read again and again are kept. */
  readsMuch?: boolean;
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
  const fresh = path === ':memory:' || !existsSync(path);
  if (!fresh) refuseOtherFiles(path);
  let db: Database;
  try {
    db = new SqliteDatabase(path, { timeout: 0, readonly: options.readonly ?? false });
  } catch (cause) {
    throw translate(cause, path, 'open');
  }
  try {
    if (options.readsMuch === true) db.pragma(`cache_size = -${muchCacheKiB}`);
    prepare(db, sets, options.readonly ?? false);
    return db;
  } catch (cause) {
    db.close();
    throw translate(cause, path, 'open');
  }
}

/** SQLite's own cache has 2 MiB: less than one index over a hundred thousand rows. */
const muchCacheKiB = 64 * 1024;

function prepare(db: Database, sets: readonly MigrationSet[], readonly: boolean): void {
  db.pragma('trusted_schema = OFF');
  db.pragma('foreign_keys = ON');
  withRetry(() => checkIdentity(db));
  refuseDamage(db);
  if (!readonly) {
    withRetry(() => {
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
      subject: db.name,
      hint: 'give another path or --state-dir',
    });
  if (version > layoutVersion)
    throw unrecoverable(
      'database_newer',
      `the database has layout ${version}; this build knows ${layoutVersion}`,
      {
        subject: db.name,
        hint: 'use the newer flyd that wrote it, or another --state-dir',
      },
    );
}

/** Above this a look at every page, 4 microseconds each, would hold up each command; `flyd doctor` looks then. */
const checkedPagesMax = 2_048;

function refuseDamage(db: Database): void {
  if ((db.pragma('page_count', { simple: true }) as number) > checkedPagesMax) return;
  const verdict = db.pragma('quick_check(1)', { simple: true });
  if (verdict !== 'ok')
    throw unrecoverable('database_corrupt', 'the database is damaged', {
      subject: db.name,
      hint: 'leave it as it is, copy it away with its -wal and -shm files, then restore a backup',
      facts: { quickCheck: String(verdict).slice(0, 200) },
    });
}

/** A file that is no database at all is refused by its first bytes, before SQLite may touch it. */
function refuseOtherFiles(path: string): void {
  const head = Buffer.alloc(magic.length);
  const fd = openSync(path, 'r');
  let read: number;
  try {
    read = readSync(fd, head, 0, head.length, 0);
  } finally {
    closeSync(fd);
  }
  if (read > 0 && head.toString('latin1', 0, read) !== magic)
    throw unrecoverable('database_corrupt', 'the file is not an SQLite database', {
      subject: path,
      hint: 'restore it from a backup, or move it away to start anew',
    });
}

/** Between processes SQLite's own busy handler starves the loser for seconds: sleep briefly, at random, and try again. */
const busySleepMsMax = 2;
const busyWaitMsMax = 20_000;
const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Runs `work` again while the database is locked by another process; throws `database_busy` after 20 s. */
export function withRetry<T>(work: () => T): T {
  const since = performance.now();
  for (;;) {
    try {
      return work();
    } catch (cause) {
      if (!isBusy(cause)) throw cause;
      if (performance.now() > since + busyWaitMsMax)
        throw recoverable('database_busy', 'the database stayed locked', {
          hint: 'look for a process that holds it: `fuser` the file',
          cause,
        });
    }
    // Whoever has waited longer looks more often, and so gets its turn sooner.
    const impatience = 1 + (performance.now() - since) / busySleepMsMax;
    Atomics.wait(sleeper, 0, 0, 0.05 + (Math.random() * busySleepMsMax) / impatience);
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

/** A write of any process: immediate, retried while locked, foreign errors translated. */
export function write<T>(db: Database, work: () => T): T {
  try {
    return withRetry(() => writeTransaction(db, work));
  } catch (cause) {
    throw translate(cause, db.name, 'write');
  }
}

/** Writes what the database at `path` holds to a new file, whoever else uses it; the original is only read. */
export function copyDatabase(path: string, to: string): void {
  const source = new SqliteDatabase(path, { readonly: true, fileMustExist: true });
  try {
    withRetry(() => source.prepare('VACUUM INTO ?').run(to));
  } finally {
    source.close();
  }
}

function sqliteCode(thrown: unknown): string {
  return thrown instanceof SqliteDatabase.SqliteError ? thrown.code : '';
}

const isBusy = (thrown: unknown): boolean => sqliteCode(thrown).startsWith('SQLITE_BUSY');

function translate(thrown: unknown, path: string, op: string): unknown {
  const code = sqliteCode(thrown);
  if (thrown instanceof FlydError || code === '') return thrown;
  const details = { op: `database.${op}`, subject: path, cause: thrown, facts: { sqlite: code } };
  if (code === 'SQLITE_CORRUPT' || code.startsWith('SQLITE_CORRUPT_') || code === 'SQLITE_NOTADB')
    return unrecoverable('database_corrupt', 'the database is damaged', {
      ...details,
      hint: 'leave it as it is, copy it away with its -wal and -shm files, then restore a backup',
    });
  if (code === 'SQLITE_FULL') return recoverable('no_space', 'the disk of the database is full', details);
  // Disk trouble may heal; a statement that the schema refuses is a bug, and will be refused again.
  const fault =
    code.startsWith('SQLITE_IOERR') || code.startsWith('SQLITE_CANTOPEN') ? recoverable : unrecoverable;
  return fault('database_failed', `the database refused: ${(thrown as Error).message}`, details);
}
