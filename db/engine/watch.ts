import type { Database } from 'better-sqlite3';
import type { TransitionRow } from './reads.ts';

/** What tells that a run has changed in a way that somebody watching would see. */
export interface RunMark {
  id: number;
  uid: string;
  mark: string;
}

export type CommitRow = Omit<TransitionRow, 'patch' | 'snapshot'> & { uid: string };

export type Watch = ReturnType<typeof createWatchReads>;

/** What a live view reads over and over: everything here costs the same however long the history is. */
export function createWatchReads(db: Database) {
  const columns = `t.id, t.run, t.seq, t.prev, t.at, t.event, t.from_state AS fromState,
    t.to_state AS toState, t.effects, t.ms, t.error, t.definition, r.uid`;
  const newest = db.prepare('SELECT coalesce(max(id), 0) FROM transitions').pluck();
  const after = db.prepare(`SELECT ${columns} FROM transitions t JOIN runs r ON r.id = t.run
    WHERE t.id > +? ORDER BY t.id LIMIT +?`);
  // The newest first, by the chain of the run: the walk ends at the first row that is known already.
  const runAfter = db.prepare(`WITH RECURSIVE chain(id) AS (
      SELECT last FROM runs WHERE uid = @run AND last > @after
      UNION ALL SELECT t.prev FROM chain JOIN transitions t ON t.id = chain.id
        WHERE t.prev IS NOT NULL AND t.prev > @after)
    SELECT ${columns} FROM chain CROSS JOIN transitions t ON t.id = chain.id JOIN runs r ON r.id = t.run
    ORDER BY t.id`);
  const one = db.prepare(`WITH RECURSIVE chain(id) AS (
      SELECT last FROM runs WHERE uid = @run
      UNION ALL SELECT t.prev FROM chain JOIN transitions t ON t.id = chain.id
        WHERE t.prev IS NOT NULL AND t.seq > @seq)
    SELECT ${columns} FROM chain CROSS JOIN transitions t ON t.id = chain.id JOIN runs r ON r.id = t.run
    WHERE t.seq = +@seq`);
  const mark = `status || ' ' || coalesce(owner, '') || ' ' || coalesce(last, 0) || ' ' || attempts || ' '
    || (cancel IS NOT NULL) || (parked IS NOT NULL) || admitted`;
  const live = db.prepare(`SELECT id, uid, ${mark} AS mark FROM runs WHERE ended_at IS NULL ORDER BY +id`);
  const list = db.prepare(`SELECT id, uid, ${mark} AS mark FROM runs
    WHERE (@machine IS NULL OR machine = +@machine)
      AND (@status IS NULL OR status IN (SELECT value FROM json_each(@status)))
    ORDER BY id DESC LIMIT +@limit`);
  const marks = db.prepare(`SELECT id, uid, ${mark} AS mark FROM runs WHERE uid IN
    (SELECT value FROM json_each(?)) ORDER BY id`);
  const counts = db.prepare('SELECT machine, status, count(*) AS runs FROM runs GROUP BY machine, status');
  const dataVersion = db.prepare('PRAGMA data_version').pluck();
  const definitionOf = db.prepare('SELECT definition FROM runs WHERE uid = ?').pluck();

  return {
    /** The id of the newest row of history: where a watcher goes on from. */
    newest: (): number => newest.get() as number,
    /** Rows of every run that came after `cursor`, in order of commit. */
    after: (cursor: number, limit: number): CommitRow[] => after.all(cursor, limit) as CommitRow[],
    runAfter: (run: string, cursor: number): CommitRow[] =>
      runAfter.all({ run, after: cursor }) as CommitRow[],
    /** One commit of a run, or undefined. */
    commit: (run: string, seq: number): CommitRow | undefined =>
      one.get({ run, seq }) as CommitRow | undefined,
    live: (): RunMark[] => live.all() as RunMark[],
    /** The newest first. */
    list: (query: { machine: string | null; status: readonly string[] | null; limit: number }): RunMark[] =>
      list.all({
        ...query,
        status: query.status === null ? null : JSON.stringify(query.status),
      }) as RunMark[],
    marks: (uids: readonly string[]): RunMark[] => marks.all(JSON.stringify(uids)) as RunMark[],
    counts: (): { machine: string; status: string; runs: number }[] =>
      counts.all() as { machine: string; status: string; runs: number }[],
    /** Changes whenever another connection has committed. */
    dataVersion: (): number => dataVersion.get() as number,
    definitionOf: (run: string): string | undefined => definitionOf.get(run) as string | undefined,
  };
}
