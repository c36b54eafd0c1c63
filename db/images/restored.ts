import type { Database } from 'better-sqlite3';
import { joinWrite } from './joined.ts';

/**
 * A backup carries a mark; a live database has none. So one that has it was restored, and what was made
 * after the backup is there without a row: it is kept from the garbage collector until somebody says
 * that it may go.
 */
export interface Restored {
  /** When the backup was taken that this database was restored from, in ms since 1970; null: it was not, or that is dealt with. */
  takenAt(): number | null;
  /** Keeps these volumes and activations, which no row tells of, from being swept. */
  keep(ids: readonly string[], now: number): void;
  /** Volumes and activations that are kept, with since when. */
  kept(): { id: string; since: number }[];
  /** No longer kept: the next sweep takes it. False when it was not kept. */
  release(id: string): boolean;
  /** The restoration is dealt with. */
  settle(): void;
}

export function createRestored(db: Database): Restored {
  const mark = db.prepare<[], number>('SELECT max(taken_at) FROM restored').pluck();
  const all = db.prepare<[], { id: string; since: number }>('SELECT id, since FROM kept ORDER BY since, id');
  const insert = db.prepare('INSERT OR IGNORE INTO kept (id, since) VALUES (?, ?)');
  return {
    takenAt: () => mark.get() ?? null,
    keep: (ids, now) =>
      joinWrite(db, () => {
        for (const id of ids) insert.run(id, now);
      }),
    kept: () => all.all(),
    release: (id) => joinWrite(db, () => db.prepare('DELETE FROM kept WHERE id = ?').run(id).changes > 0),
    settle: () => joinWrite(db, () => void db.prepare('DELETE FROM restored').run()),
  };
}
