import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import SqliteDatabase from 'better-sqlite3';

/** What can be wrong with a database when a command opens it. */
export interface DatabaseCase {
  title: string;
  /** Brings the fault about; gives what takes it away, if putting the file back does not. */
  spoil(path: string, stateDir: string): undefined | (() => void) | Promise<() => void>;
  /** The code of every command that cannot work. */
  code: string;
  /** What must be in its hint. */
  hint: RegExp;
  /** `none`: no command works. `looking`: what only looks does. */
  works: 'none' | 'looking';
  /** Every command is tried, not only a sample: all of them open it at one place. */
  everyCommand?: true;
  needs?: readonly string[];
}

const bytesOf = (path: string, change: (bytes: Buffer) => void): undefined => {
  const bytes = readFileSync(path);
  change(bytes);
  writeFileSync(path, bytes);
};

const replace = (path: string, put: () => void): undefined => {
  rmSync(path);
  put();
};

const withSql = (path: string, sql: string): undefined => {
  const db = new SqliteDatabase(path);
  db.exec(sql);
  db.pragma('wal_checkpoint(TRUNCATE)');
  db.close();
};

/** Another process that holds a lock until it is killed. */
export function lockElsewhere(path: string, pragma: string): Promise<() => void> {
  const code = `
    const Database = require('better-sqlite3');
    const db = new Database(process.argv[1]);
    db.pragma(${JSON.stringify(pragma)});
    db.exec('BEGIN EXCLUSIVE');
    db.exec('CREATE TABLE never_committed (x)');
    console.log('locked');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['-e', code, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((give) => child.once('exit', give));
  return new Promise((give, fail) => {
    child.stdout.once('data', () => give(() => void child.kill('SIGKILL')));
    void ended.then(() => fail(new Error('the locker ended')));
  });
}

/** A bind mount of the path over itself, that takes no write. */
function readOnly(path: string): () => void {
  execFileSync('mount', ['--bind', path, path]);
  execFileSync('mount', ['-o', 'remount,bind,ro', path]);
  return () => execFileSync('umount', [path]);
}

const restorable = /flyd db restore FILE/;
const page = 4096;

export const databaseCases: readonly DatabaseCase[] = [
  {
    title: 'locked for writers',
    spoil: (path) => lockElsewhere(path, 'journal_mode = WAL'),
    code: 'database_busy',
    hint: /fuser -v .*databaseMs/,
    works: 'looking',
    everyCommand: true,
  },
  {
    title: 'locked for everybody',
    spoil: (path) => lockElsewhere(path, 'locking_mode = EXCLUSIVE'),
    code: 'database_busy',
    hint: /fuser -v .*databaseMs/,
    works: 'none',
  },
  {
    title: 'a read-only file',
    spoil: (path) => readOnly(path),
    code: 'database_readonly',
    hint: /findmnt -T/,
    works: 'looking',
    everyCommand: true,
    needs: ['root', 'mount'],
  },
  {
    title: 'a read-only file system',
    spoil: (_, stateDir) => readOnly(stateDir),
    code: 'permission',
    hint: /findmnt -T/,
    works: 'none',
    needs: ['root', 'mount'],
  },
  {
    title: 'tables of a newer version',
    spoil: (path) => withSql(path, "UPDATE schema_sets SET version = 99 WHERE name = 'images'"),
    code: 'database_newer',
    hint: /newer flyd/,
    works: 'none',
  },
  {
    title: 'a damaged header',
    spoil: (path) => bytesOf(path, (bytes) => void bytes.fill(0x55, 0, 100)),
    code: 'database_corrupt',
    hint: restorable,
    works: 'none',
  },
  {
    title: 'damaged pages in the middle',
    spoil: (path) => bytesOf(path, (bytes) => void bytes.fill(0xff, 5 * page, 8 * page)),
    code: 'database_corrupt',
    hint: restorable,
    works: 'none',
  },
  {
    title: 'cut at half its pages',
    spoil: (path) => void truncateSync(path, Math.floor(statSync(path).size / page / 2) * page),
    code: 'database_corrupt',
    hint: restorable,
    works: 'none',
  },
  {
    title: 'cut in the middle of its last page',
    spoil: (path) => void truncateSync(path, statSync(path).size - 1000),
    code: 'database_corrupt',
    hint: restorable,
    works: 'none',
  },
  {
    title: 'an empty file',
    spoil: (path) => void truncateSync(path, 0),
    code: 'database_missing',
    hint: restorable,
    works: 'none',
  },
  {
    title: 'no file',
    spoil: (path) => void rmSync(path),
    code: 'database_missing',
    hint: restorable,
    works: 'none',
    everyCommand: true,
  },
  {
    title: "somebody's notes",
    spoil: (path) => writeFileSync(path, 'these are my notes, and they are not a database\n') as undefined,
    code: 'database_corrupt',
    hint: restorable,
    works: 'none',
  },
  {
    title: "somebody else's database",
    spoil: (path) => replace(path, () => withSql(path, 'CREATE TABLE theirs (x)')),
    code: 'database_foreign',
    hint: restorable,
    works: 'none',
  },
  {
    title: 'a folder',
    spoil: (path) => replace(path, () => mkdirSync(path)),
    code: 'database_corrupt',
    hint: restorable,
    works: 'none',
  },
];
