import type { Database } from 'better-sqlite3';

/**
 * The engine's runs, as far as the image store must know them: what a live run has touched since it
 * began stays. A live run also relies on what the child runs did that it joined or started, which may
 * have begun before it and have ended since.
 */
export interface LiveRuns {
  /** When the oldest run began that a live pull relies on, in ms since 1970; null without a live pull. */
  oldestPull(): number | null;
  /** Whether an activation may be on its way up or down in a run. */
  movesActivations(): boolean;
  /** Ids of the activations that a live run takes down. */
  deactivated(): string[];
  /** `now`, but never before the start of a live run: a clock that was set back endangers nothing. */
  stamp(now: number): number;
}

/** Reads of the engine's tables (db/engine/migrations.ts), which are in the same file. */
export function createLiveRuns(db: Database): LiveRuns {
  const oldest = db
    .prepare<[], number | null>(`
      WITH RECURSIVE needed(id) AS (
        SELECT id FROM runs
        WHERE ended_at IS NULL AND machine IN ('pull', 'image', 'blob', 'volume', 'activate')
        UNION
        SELECT link.child FROM run_links AS link JOIN needed ON link.parent = needed.id
      )
      SELECT min(created_at) FROM runs WHERE id IN (SELECT id FROM needed)`)
    .pluck();
  const moving = db
    .prepare<[], number>(`
      SELECT EXISTS (
        SELECT 1 FROM runs WHERE ended_at IS NULL AND machine IN ('pull', 'activate', 'deactivate'))`)
    .pluck();
  const newest = db
    .prepare<[], number | null>('SELECT max(created_at) FROM runs WHERE ended_at IS NULL')
    .pluck();

  const deactivated = db
    .prepare<[], string>("SELECT key FROM runs WHERE ended_at IS NULL AND machine = 'deactivate'")
    .pluck();

  return {
    deactivated: () => deactivated.all(),
    oldestPull: () => oldest.get() ?? null,
    movesActivations: () => moving.get() === 1,
    stamp: (now) => Math.max(now, newest.get() ?? 0),
  };
}
