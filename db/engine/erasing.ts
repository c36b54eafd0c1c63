import type { Database } from 'better-sqlite3';

/**
 * From here on SQLite overwrites with zeros what this connection deletes (https://sqlite.org/pragma.html,
 * secure_delete). Old pages stay in the write-ahead log until it is written over or the database is closed.
 */
export function eraseWhatIsDeleted(db: Database): void {
  db.pragma('secure_delete = ON');
}
