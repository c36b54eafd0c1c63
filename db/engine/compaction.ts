import type { Database } from 'better-sqlite3';
import { write } from '../open.ts';
import { purge } from './purging.ts';
import type { Statements } from './statements.ts';

/** What makes room in a database that is used for long. Each call is one transaction, and brief. */
export interface Compaction {
  /** Runs that ended before then and that no live run has as its child: the oldest `many`. */
  endedBefore(at: number, many: number): number[];
  /** Deletes those of these runs that have ended. Gives how many. */
  purge(runs: readonly number[]): number;
  /** Runs whose history has more rows than that. */
  longerThan(rows: number): number[];
  /**
   * Cuts the oldest rows of the run's history, so that `rows` of the newest stay, or a few more: the
   * oldest that stays holds a whole snapshot. Gives how many were cut.
   */
  cut(run: number, rows: number): number;
}

interface Link {
  id: number;
  seq: number;
  prev: number | null;
  whole: number;
}

/** The statements are prepared when they are wanted first: most processes never compact. */
export function createCompaction(db: Database, sql: Statements): Compaction {
  const chain = `WITH RECURSIVE chain(id) AS (
    SELECT ?
    UNION ALL SELECT t.prev FROM chain JOIN transitions t ON t.id = chain.id WHERE t.prev IS NOT NULL)`;
  const all = (query: string, ...given: number[]): unknown[] => db.prepare(query).all(...given);

  function cutOne(run: number, rows: number): number {
    const { last, seq } = db.prepare('SELECT last, seq FROM runs WHERE id = ?').get(run) as {
      last: number | null;
      seq: number;
    };
    if (last === null) return 0;
    const links = all(
      `${chain} SELECT t.id, t.seq, t.prev, t.snapshot IS NOT NULL AS whole
        FROM chain CROSS JOIN transitions t ON t.id = chain.id ORDER BY t.id DESC`,
      last,
    ) as Link[];
    const first = links.find((link) => link.whole === 1 && link.seq <= seq - rows + 1);
    if (first === undefined || first.prev === null) return 0;
    const { changes } = db
      .prepare(`${chain} DELETE FROM transitions WHERE id IN (SELECT id FROM chain)`)
      .run(first.prev);
    db.prepare('UPDATE transitions SET prev = NULL WHERE id = ?').run(first.id);
    db.prepare('UPDATE runs SET history_from = ? WHERE id = ?').run(first.seq, run);
    return changes;
  }

  return {
    endedBefore: (at, many) =>
      db
        .prepare(`SELECT id FROM runs r WHERE ended_at < ? AND NOT EXISTS (
            SELECT 1 FROM run_links l JOIN runs p ON p.id = l.parent WHERE l.child = r.id AND p.ended_at IS NULL)
          ORDER BY ended_at LIMIT ?`)
        .pluck()
        .all(at, many) as number[],
    purge: (runs) => write(db, () => runs.filter((run) => purge(sql, run) === 'purged').length),
    longerThan: (rows) =>
      db.prepare('SELECT id FROM runs WHERE seq - history_from + 1 > ?').pluck().all(rows) as number[],
    cut: (run, rows) => write(db, () => cutOne(run, rows)),
  };
}
