import type { Database } from 'better-sqlite3';
import { write } from '../open.ts';
import { type Compaction, createCompaction } from './compaction.ts';
import { createEnding } from './ending.ts';
import { createHolds } from './holds.ts';
import { createApply } from './operations.ts';
import { purge } from './purging.ts';
import type {
  Committed,
  NewRun,
  QueueSetting,
  RunWrite,
  SecretRow,
  Sent,
  Started,
  StartedRow,
  StartWrite,
} from './records.ts';
import { createRewind, type ForkWish, type Reopened, type ReopenWish } from './rewind.ts';
import { createRunWriter } from './run-writer.ts';
import { createScheduling, type Scheduling } from './scheduling.ts';
import { createStarting } from './starting.ts';
import { prepareAll } from './statements.ts';
import { createRefreshStatus } from './statuses.ts';

/** The definition of a machine, kept once for each hash: what drew a run can be drawn again. */
export interface NewDefinition {
  hash: string;
  machine: string;
  version: number;
  config: string;
  at: number;
}

export interface Commits {
  /**
   * Writes what many runs did at once, and starts others, in one transaction and one fsync. A run whose fence is
   * lost is left out; a wish to start inserts a run, or finds the one that is the answer.
   */
  commit(
    writes: readonly RunWrite[],
    starts: readonly StartWrite[],
  ): { committed: Committed[]; started: Started[] };
  /** Inserts an event to a live run, once for each dedupe key. */
  insertEvent(
    run: number,
    event: string,
    options: { dedupe: string | null; at: number; secrets: readonly SecretRow[] },
  ): Sent;
  /** Says that the run is to be cancelled; false when it has ended or was told before. */
  requestCancel(run: number, cancel: string): boolean;
  /** Says that the run is to end at once, without compensation; false when it has ended or was told before. */
  requestKill(run: number, killed: string): boolean;
  /** Deletes all that is stored of a run that has ended. */
  purge(run: number): 'purged' | 'live' | { linked: string };
  /** Lets the run begin, if nothing holds it and its queue, if any, has a free place. */
  admit(run: number, queue: string | null, now: number): boolean;
  setQueue(name: string, setting: QueueSetting): void;
  /** Says why a run cannot be loaded, and touches nothing else of it. */
  parkRow(run: number, parked: string): void;
  /** A failed run is live again, with the wish to be set back in its inbox. */
  reopen(run: number, wish: ReopenWish): Reopened;
  /** Inserts a run that is to begin in the middle. */
  fork(run: NewRun, wish: ForkWish): StartedRow | { conflict: string };
  readonly schedules: Scheduling;
  readonly compaction: Compaction;
  putDefinitions(definitions: readonly NewDefinition[]): void;
}

/** The statements that write runs. All go through immediate transactions, retried while the database is locked. */
export function createCommits(db: Database): Commits {
  const sql = prepareAll(db);
  const refreshStatus = createRefreshStatus(sql);
  const holds = createHolds(sql, refreshStatus);
  const starting = createStarting(sql, holds, refreshStatus);
  const ending = createEnding(sql, holds, refreshStatus);
  const apply = createApply({ sql, ending, starting });
  const rewind = createRewind(sql, { refreshStatus, insertRow: starting.insert });

  const beginWriting = createRunWriter(sql, { apply, ending, refreshStatus });

  function commit(writes: readonly RunWrite[], starts: readonly StartWrite[]) {
    const writer = beginWriting();
    const committed = writes.map((entry) => writer.write(entry));
    const started = starts.map(({ run, wish, first }): Started => {
      const begun = first === null ? null : writer.begunRow(first);
      const outcome = starting.start(run, wish, begun);
      const begins = outcome.verdict === 'started' && first !== null;
      return {
        ...outcome,
        first: begins ? writer.write({ ...first, run: outcome.id }, begun !== null) : null,
      };
    });
    return { committed, started };
  }

  return {
    commit: (writes, starts) => write(db, () => commit(writes, starts)),
    schedules: createScheduling(db, starting),
    compaction: createCompaction(db, sql),
    insertEvent: (run, event, { dedupe, at, secrets }) =>
      write(db, () => {
        if (sql.sendEvent.run({ run, event, dedupe, at }).changes > 0) {
          for (const { ref, value } of secrets) sql.putSecret.run(run, ref, value);
          return 'accepted';
        }
        return dedupe !== null && sql.wasSent.get(run, dedupe) !== undefined ? 'duplicate' : 'ended';
      }),
    reopen: (run, wish) => write(db, () => rewind.reopen(run, wish)),
    fork: (run, wish) => write(db, () => rewind.fork(run, wish)),
    requestCancel: (run, cancel) => write(db, () => sql.requestCancel.run(cancel, run).changes > 0),
    requestKill: (run, killed) => write(db, () => sql.requestKill.run(killed, run).changes > 0),
    purge: (run) => write(db, () => purge(sql, run)),
    admit: (run, queue, now) =>
      write(db, () => {
        const admitted = sql.admit.run({ run, queue, now }).changes > 0;
        if (admitted) refreshStatus(run);
        return admitted;
      }),
    setQueue: (name, setting) => write(db, () => void sql.setQueue.run({ name, ...setting })),
    parkRow: (run, parked) =>
      write(db, () => {
        sql.parkRow.run(parked, run);
        sql.dropRetries.run(run);
        refreshStatus(run);
      }),
    putDefinitions: (definitions) =>
      write(db, () => {
        for (const definition of definitions) sql.putDefinition.run(definition);
      }),
  };
}
