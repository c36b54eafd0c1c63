import type { Database } from 'better-sqlite3';
import { write } from '../open.ts';
import { createEnding } from './ending.ts';
import { createApply } from './operations.ts';
import type { Committed, HistoryWrite, NewRun, RunWrite, Sent, StartedChild, StartedRow } from './records.ts';
import { prepareAll } from './statements.ts';

/** The definition of a machine, kept once for each hash: what drew a run can be drawn again. */
export interface NewDefinition {
  hash: string;
  machine: string;
  version: number;
  config: string;
  at: number;
}

export interface Commits {
  /** Writes what many runs did at once, in one transaction and one fsync. A run whose fence is lost is left out. */
  commit(writes: readonly RunWrite[]): Committed[];
  /** Inserts a run that nobody has begun, or finds the live one of its key. */
  insertRun(run: NewRun, options: { owner: string | null; standalone: boolean; at: number }): StartedRow;
  /** Inserts an event to a live run, once for each dedupe key. */
  insertEvent(run: number, event: string, options: { dedupe: string | null; at: number }): Sent;
  /** Says that the run is to be cancelled; false when it has ended or was told before. */
  requestCancel(run: number, cancel: string): boolean;
  /** Takes a place in the run's queue, if one is free. */
  admit(run: number, queue: string): boolean;
  setQueue(name: string, places: number): void;
  /** Says why a run cannot be loaded, and touches nothing else of it. */
  parkRow(run: number, parked: string): void;
  putDefinitions(definitions: readonly NewDefinition[]): void;
}

/** The statements that write runs. All go through immediate transactions, retried while the database is locked. */
export function createCommits(db: Database): Commits {
  const sql = prepareAll(db);
  const ending = createEnding(sql);
  const apply = createApply({ sql, ending, insertRow });

  function commit(writes: readonly RunWrite[]): Committed[] {
    return write(db, () => writes.map(commitRun));
  }

  function commitRun(entry: RunWrite): Committed {
    const { row, run, at } = entry;
    const { changes } = sql.updateRun.run({
      run,
      owner: entry.owner,
      expected: entry.seq,
      ...row,
      cancelDelivered: row.cancelDelivered ? 1 : 0,
      endedAt: row.ended === null ? null : at,
      at,
    });
    if (changes === 0) return { run, held: false, last: null, children: [] };
    const last = appendHistory(run, row.definition, entry.history, at);
    const children: StartedChild[] = [];
    for (const operation of entry.operations) apply(run, entry, operation, children);
    if (row.ended !== null) ending.end(run, at);
    refreshStatus(run);
    return { run, held: true, last, children };
  }

  function appendHistory(
    run: number,
    definition: string,
    rows: readonly HistoryWrite[],
    at: number,
  ): number | null {
    let last = (sql.lastOf.get(run) as { last: number | null }).last;
    for (const row of rows)
      last = Number(sql.insertTransition.run({ run, prev: last, at, definition, ...row }).lastInsertRowid);
    sql.setLast.run(last, run);
    return last;
  }

  /** A live parent shows the trouble of its children, so that one look tells. */
  function refreshStatus(run: number): void {
    sql.refreshStatus.run({ run });
    for (const { parent } of sql.liveParents.all(run) as { parent: number }[]) {
      const { changes } = sql.refreshStatus.run({ run: parent });
      if (changes > 0) refreshStatus(parent);
    }
  }

  function insertRow(
    run: NewRun,
    options: { owner: string | null; standalone: boolean; at: number },
  ): StartedRow {
    const live =
      run.key === null
        ? undefined
        : (sql.liveByKey.get(run.machine, run.key) as { id: number; uid: string } | undefined);
    if (live !== undefined) {
      if (options.standalone) sql.makeStandalone.run(live.id);
      return { ...live, joined: true };
    }
    const { lastInsertRowid } = sql.insertRun.run({
      ...run,
      owner: options.owner,
      standalone: options.standalone ? 1 : 0,
      at: options.at,
      status: run.queue === null ? 'running' : 'waiting',
    });
    return { id: Number(lastInsertRowid), uid: run.uid, joined: false };
  }

  return {
    commit,
    insertRun: (run, options) =>
      write(db, () => {
        const started = insertRow(run, options);
        if (started.joined) {
          sql.wakeParked.run({ run: started.id, at: options.at });
          refreshStatus(started.id);
        }
        return started;
      }),
    insertEvent: (run, event, { dedupe, at }) =>
      write(db, () => {
        if (sql.sendEvent.run({ run, event, dedupe, at }).changes > 0) return 'accepted';
        return dedupe !== null && sql.wasSent.get(run, dedupe) !== undefined ? 'duplicate' : 'ended';
      }),
    requestCancel: (run, cancel) => write(db, () => sql.requestCancel.run(cancel, run).changes > 0),
    admit: (run, queue) =>
      write(db, () => {
        const admitted = sql.admit.run({ run, queue }).changes > 0;
        if (admitted) refreshStatus(run);
        return admitted;
      }),
    setQueue: (name, places) => write(db, () => void sql.setQueue.run(name, places)),
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
