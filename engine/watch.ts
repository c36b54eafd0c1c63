import type { Database } from 'better-sqlite3';
import type { ErrorRecord } from '#core/errors';
import { unrecoverable } from '#core/errors';
import { createReads } from '#db/engine/index';
import { type CommitRow, createWatchReads, type RunMark } from '#db/engine/watch';
import type { HistoryRow, Json } from './types.ts';

/** A row of history with the run that it is of, and the definition that it was made by. */
export interface Commit extends HistoryRow {
  run: string;
  definition: string;
  /** Of a failed attempt: the effect's source, and the how-manieth it was. */
  src: string | null;
  attempt: number | null;
}

/** An effect that a run waits for. Times are milliseconds since the epoch. */
export interface EffectView {
  child: string;
  src: string;
  state: 'due' | 'pending' | 'parked';
  /** Failed attempts so far. */
  attempt: number;
  /** When it is tried next; in the past while it runs. */
  dueAt: number;
  error: ErrorRecord | null;
}

export interface TimerView {
  timer: string;
  dueAt: number;
}

/** For those who look at runs all the time, whoever moves them: by the database alone. */
export interface EngineWatch {
  /** Id of the newest commit of all runs. */
  cursor(): number;
  /** Changes whenever another connection has committed. */
  version(): number;
  /** Commits of every run after `cursor`, in order; at most `limit`. */
  after(cursor: number, limit?: number): Commit[];
  /** Commits of one run after `cursor`, all of them. */
  history(run: string, cursor?: number): Commit[];
  commit(run: string, seq: number): Commit;
  /** The event of a commit, with what it carries. */
  eventAt(run: string, seq: number): Json;
  /** Runs that have not ended, with what changes when they do. */
  live(): RunMark[];
  marks(runs: readonly string[]): RunMark[];
  list(query: { machine: string | null; status: readonly string[] | null; limit: number }): RunMark[];
  counts(): { machine: string; status: string; runs: number }[];
  effects(run: string): EffectView[];
  timers(run: string): TimerView[];
  /** Hash of the definition that the run has now. */
  definitionOf(run: string): string;
  definition(hash: string): { machine: string; version: number; config: Json } | undefined;
}

const commitsMax = 1000;

/** A watch over a database that holds the engine's tables. */
export function createWatch(db: Database): EngineWatch {
  const reads = createReads(db);
  const watch = createWatchReads(db);
  const idOf = (uid: string): number => {
    const row = reads.runByUid(uid);
    if (row === undefined)
      throw unrecoverable('run_not_found', 'no run has this id', {
        subject: uid,
        hint: 'see the runs there are',
      });
    return row.id;
  };
  const commitOf = (run: string, seq: number): CommitRow => {
    const row = watch.commit(run, seq);
    if (row === undefined)
      throw unrecoverable('run_not_found', `the run has no commit ${seq}`, {
        subject: run,
        hint: 'see its commits in the history',
      });
    return row;
  };
  return {
    cursor: watch.newest,
    version: watch.dataVersion,
    after: (cursor, limit = commitsMax) => watch.after(cursor, limit).map(toCommit),
    history: (run, cursor = 0) => watch.runAfter(run, cursor).map(toCommit),
    commit: (run, seq) => toCommit(commitOf(run, seq)),
    eventAt: (run, seq) => JSON.parse(commitOf(run, seq).event) as Json,
    live: watch.live,
    marks: watch.marks,
    list: watch.list,
    counts: watch.counts,
    effects: (run) =>
      reads.effects(idOf(run)).map(({ child, src, state, attempt, dueAt, error }) => ({
        child,
        src,
        state,
        attempt,
        dueAt,
        error: error === null ? null : (JSON.parse(error) as ErrorRecord),
      })),
    timers: (run) => reads.timers(idOf(run)).map(({ timer, dueAt }) => ({ timer, dueAt })),
    definitionOf: (run) => watch.definitionOf(run) ?? '',
    definition: (hash) => {
      const row = reads.definition(hash);
      return row === undefined
        ? undefined
        : { machine: row.machine, version: row.version, config: JSON.parse(row.config) as Json };
    },
  };
}

function toCommit(row: CommitRow): Commit {
  const event = JSON.parse(row.event) as { type: string; src?: unknown; attempt?: unknown };
  const ours = event.type.startsWith('flyd.');
  return {
    id: row.id,
    run: row.uid,
    definition: row.definition,
    seq: row.seq,
    at: row.at,
    event: event.type,
    from: row.fromState,
    to: row.toState,
    effects: JSON.parse(row.effects) as string[],
    ms: row.ms,
    error: row.error === null ? null : (JSON.parse(row.error) as ErrorRecord),
    src: ours && typeof event.src === 'string' ? event.src : null,
    attempt: ours && typeof event.attempt === 'number' ? event.attempt : null,
  };
}
