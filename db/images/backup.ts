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
  const copy = openDatabase(path, [engineSet, imageSet]);
  try {
    copy.prepare('INSERT INTO restored (taken_at) VALUES (?)').run(now);
    // One file, without a log beside it.
    copy.pragma('journal_mode = DELETE');
  } finally {
    copy.close();
  }
}
