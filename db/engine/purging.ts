import type { Statements } from './statements.ts';

/**
 * Deletes what is stored of a run that has ended: its row, history, events and links. One that a live
 * run has as its child stays, for that run may still be asked about it. Called inside a transaction.
 */
export function purge(sql: Statements, run: number): 'purged' | 'live' | { linked: string } {
  const { endedAt } = sql.endOf.get(run) as { endedAt: number | null };
  if (endedAt === null) return 'live';
  const parent = sql.liveParentOf.get(run) as { uid: string } | undefined;
  if (parent !== undefined) return { linked: parent.uid };
  sql.keepNewestId.run(run);
  // SQLite may give its number to another run.
  for (const forget of [sql.forgetContinued, sql.forgetAfter, sql.forgetReplaces]) forget.run(run);
  sql.dropHistory.run(run);
  sql.dropRun.run(run);
  return 'purged';
}
