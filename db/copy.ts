import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Database } from 'better-sqlite3';
import type { MigrationSet } from './migrate.ts';
import { copyDatabase, openDatabase } from './open.ts';

/**
 * Gives `work` a copy of the database at `path`, with the tables of this build: to see what an upgrade
 * would find. The file itself is only read, also while others write it; the copy goes when `work` returns.
 * Throws what `openDatabase` throws, and `ENOENT` as SQLite says it where there is no file.
 */
export function withCopy<T>(path: string, sets: readonly MigrationSet[], work: (db: Database) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'flyd-copy-'));
  try {
    const copy = join(folder, 'copy.db');
    copyDatabase(path, copy);
    const db = openDatabase(copy, sets);
    try {
      return work(db);
    } finally {
      db.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
