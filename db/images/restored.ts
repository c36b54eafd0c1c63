import type { Database } from 'better-sqlite3';
import { once } from '../lazy.ts';
import { joinWrite } from './joined.ts';

/**
 * A backup carries a mark; a live database has none. So one that has it was restored, and what was made
 * after the backup is there without a row: it is kept from the garbage collector until somebody says
 * that it may go. A copy that somebody made without flyd has no mark; but each process that begins to
 * move runs raises the database's generation and notes it in a file beside it, with the newest commit; a
 * database behind that file is an old one, or its log was damaged.
 */
export interface Restored {
  generation(): number;
  /** The number of the newest commit of any run: it never falls. */
  newestCommit(): number;
  /** Raises the generation above this one too; gives the new one. */
  advance(seen: number): number;
  /** This database was put back by other means than a restoration by flyd. */
  mark(now: number): void;
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
  const generation = db.prepare<[], number>('SELECT max(number) FROM generation').pluck();
  const newestCommit = once(() => db.prepare<[], number>('SELECT max(id) FROM transitions').pluck());
  return {
    generation: () => generation.get() ?? 0,
    newestCommit: () => newestCommit().get() ?? 0,
    advance: (seen) =>
      joinWrite(db, () => {
        const next = Math.max(seen, generation.get() ?? 0) + 1;
        db.prepare('UPDATE generation SET number = ?').run(next);
        return next;
      }),
    mark: (now) =>
      joinWrite(db, () => void db.prepare('INSERT INTO restored (taken_at) VALUES (?)').run(now)),
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
