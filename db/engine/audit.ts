import type { Database } from 'better-sqlite3';

/** What must never be found in the engine's tables, whoever looks and whenever; each query gives run ids. */
const faults: readonly { says: string; sql: string }[] = [
  {
    says: 'it has ended and has effects or timers that are due',
    sql: `SELECT uid FROM runs WHERE ended_at IS NOT NULL AND (
            EXISTS (SELECT 1 FROM effects WHERE effects.run = runs.id) OR
            EXISTS (SELECT 1 FROM timers WHERE timers.run = runs.id)) LIMIT 20`,
  },
  {
    says: 'its status and its end contradict each other',
    sql: `SELECT uid FROM runs
          WHERE (ended_at IS NOT NULL) <> (status IN ('done', 'failed', 'cancelled')) LIMIT 20`,
  },
  {
    says: 'its newest step is not in its history',
    sql: `SELECT uid FROM runs WHERE seq > 0 AND NOT EXISTS (
            SELECT 1 FROM transitions AS t WHERE t.id = runs.last AND t.run = runs.id AND t.seq = runs.seq) LIMIT 20`,
  },
  {
    says: 'it is live, and no live run that spawned it, nor a person, wants it',
    sql: `SELECT uid FROM runs AS r WHERE ended_at IS NULL AND standalone = 0 AND NOT EXISTS (
            SELECT 1 FROM run_links AS l JOIN runs AS p ON p.id = l.parent
            WHERE l.child = r.id AND p.ended_at IS NULL) AND cancel IS NULL LIMIT 20`,
  },
];

/** What the engine's tables say against each other, a line for each run; empty when all is well. */
export const auditRuns = (db: Database): string[] =>
  faults.flatMap(({ says, sql }) =>
    db
      .prepare<[], string>(sql)
      .pluck()
      .all()
      .map((uid) => `run ${uid}: ${says}`),
  );
