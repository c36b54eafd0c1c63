import type { Database } from 'better-sqlite3';
import { engineSet } from '../engine/index.ts';
import { openDatabase } from '../open.ts';
import { imageSet } from './set.ts';

/**
 * Writes a consistent copy of a live database to `path`, where nothing is yet: one read transaction, which
 * holds up nobody. The copy carries the mark by which it is known again when it is restored. What makes
 * it durable, and gives it its final name, is the caller's.
 */
export function backUp(db: Database, path: string, now: number): void {
  db.prepare('VACUUM INTO ?').run(path);
  markBackup(path, now);
}

/**
 * Gives the database at `path` the mark of a backup, and makes an empty one where none is: that is then the
 * backup of a time when flyd had made nothing yet.
 */
export function markBackup(path: string, now: number): void {
  const db = openDatabase(path, [engineSet, imageSet]);
  try {
    db.prepare('INSERT INTO restored (taken_at) VALUES (?)').run(now);
    // One file, without a log beside it.
    db.pragma('journal_mode = DELETE');
  } finally {
    db.close();
  }
}
