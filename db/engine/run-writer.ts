import type { Ending } from './ending.ts';
import type { Apply } from './operations.ts';
import type { Committed, HistoryWrite, RunWrite } from './records.ts';
import type { Statements } from './statements.ts';
import { createTellParents, type RefreshStatus } from './statuses.ts';

export interface RunWriterParts {
  apply: Apply;
  ending: Ending;
  refreshStatus: RefreshStatus;
}

/** Writes what one run did. A run whose fence is lost is left out. */
export type WriteRun = (entry: RunWrite) => Committed;

/** Gives, inside each transaction anew, what writes runs there. */
export function createRunWriter(
  sql: Statements,
  { apply, ending, refreshStatus }: RunWriterParts,
): () => WriteRun {
  const tellParents = createTellParents(sql);

  /** Nobody else writes in this transaction: rows of history are numbered without asking for each. */
  function begin(): WriteRun {
    const { newest } = sql.newestTransition.get() as { newest: number };
    let next = newest + 1;
    return (entry) => {
      const committed = writeRun(entry, next);
      if (committed.held) next += entry.history.length;
      return committed;
    };
  }

  function writeRun(entry: RunWrite, id: number): Committed {
    const { run, row, history, at } = entry;
    const last = history.length === 0 ? entry.last : id + history.length - 1;
    if (!updateRow(entry, last)) return { run, held: false, last: null, born: [], reached: false };
    for (let index = 0, prev = entry.last; index < history.length; prev = id + index++)
      append(entry, history[index] as HistoryWrite, id + index, prev);
    const born: number[] = [];
    for (const operation of entry.operations) apply(run, entry, operation, born);
    let reached = false;
    if (row.ended !== null) reached = ending.end(run, at);
    else if (row.status === null) refreshStatus(run);
    else if (row.status !== entry.was) tellParents(run);
    return { run, held: true, last, born, reached };
  }

  /** Says whether the run is still this owner's and as this owner knew it. */
  function updateRow(entry: RunWrite, last: number | null): boolean {
    const { run, owner, seq: expected, row, at } = entry;
    const { seq, state, snapshot, epoch } = row;
    if (onlyMoves(entry))
      return sql.moveRun.run(seq, state, snapshot, epoch, at, last, run, owner, expected).changes > 0;
    const { version, definition, tags, tagsLast, parked, attempts, cancelDelivered } = row.rest;
    const heard = cancelDelivered ? 1 : 0;
    // biome-ignore format: as the statement lists them
    const { changes } =
      row.ended === null
        ? sql.stepRun.run(
            seq, version, definition, state, tags, tagsLast, snapshot, parked, attempts, epoch, heard, at, last,
            row.status, run, owner, expected,
          )
        : sql.endRun.run(
            seq, version, definition, state, tags, tagsLast, snapshot, parked, attempts, epoch, heard, at, last,
            row.ended, row.output, row.error, at, run, owner, expected,
          );
    return changes > 0;
  }

  function append({ run, row, at }: RunWrite, step: HistoryWrite, id: number, prev: number | null): void {
    const { seq, event, fromState, toState, effects, ms, error, patch, snapshot, timers } = step;
    // biome-ignore format: as the statement lists them
    sql.insertTransition.run(
      id, run, seq, prev, at, event, fromState, toState, effects, ms, error, row.rest.definition, patch, snapshot, timers,
    );
  }

  return begin;
}

/** Whether the commit changes nothing of the row but what every step changes. */
function onlyMoves({ row, before, was }: RunWrite): boolean {
  const { rest, status, ended } = row;
  return (
    before !== null &&
    ended === null &&
    (status === null || status === was) &&
    rest.version === before.version &&
    rest.definition === before.definition &&
    rest.tags === before.tags &&
    rest.tagsLast === before.tagsLast &&
    rest.parked === before.parked &&
    rest.attempts === before.attempts &&
    rest.cancelDelivered === before.cancelDelivered
  );
}
