import type { Ending } from './ending.ts';
import type { Apply } from './operations.ts';
import type { BegunRow, Committed, HistoryWrite, RunWrite } from './records.ts';
import type { Statements } from './statements.ts';
import { createTellParents, type RefreshStatus } from './statuses.ts';

export interface RunWriterParts {
  apply: Apply;
  ending: Ending;
  refreshStatus: RefreshStatus;
}

/** Writes runs, inside one transaction. */
export interface RunWriter {
  /** Writes what one run did, and leaves it out if its fence is lost. `stored`: its row stands as this leaves it. */
  write(entry: RunWrite, stored?: boolean): Committed;
  /** The row to insert for a run whose first commit this is; null where the commit has more to say of the row. */
  begunRow(entry: RunWrite): BegunRow | null;
}

/** Gives, inside each transaction anew, what writes runs there. */
export function createRunWriter(
  sql: Statements,
  { apply, ending, refreshStatus }: RunWriterParts,
): () => RunWriter {
  const tellParents = createTellParents(sql);

  /** Nobody else writes in this transaction: rows of history are numbered without asking for each. */
  function begin(): RunWriter {
    const { newest } = sql.newestTransition.get() as { newest: number };
    let next = newest + 1;
    return {
      write(entry, stored = false) {
        const committed = writeRun(entry, next, stored);
        if (committed.held) next += entry.history.length;
        return committed;
      },
      begunRow(entry) {
        if (!isMove(entry)) return null;
        const { seq, state, snapshot, epoch } = entry.row;
        return { seq, state, snapshot, epoch, last: lastOf(entry, next) };
      },
    };
  }

  function writeRun(entry: RunWrite, id: number, stored: boolean): Committed {
    const { run, row, history, at } = entry;
    const last = lastOf(entry, id);
    if (!stored && !updateRow(entry, last)) return { run, held: false, last: null, born: [], reached: false };
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
    if (isMove(entry))
      return sql.moveRun.run(seq, state, snapshot, epoch, at, last, run, owner, expected).changes > 0;
    if (row.ended !== null && keepsRest(entry)) {
      const { ended, output, error } = row;
      // biome-ignore format: as the statement lists them
      const { changes } = sql.finishRun.run(
        seq, state, snapshot, epoch, at, last, ended, output, error, at, run, owner, expected,
      );
      return changes > 0;
    }
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

/** The newest row of history after the commit, whose first row of history gets this number. */
const lastOf = ({ history, last }: RunWrite, id: number): number | null =>
  history.length === 0 ? last : id + history.length - 1;

/** Whether the commit changes nothing of the row but what every step changes. */
const isMove = (entry: RunWrite): boolean => {
  const { status, ended } = entry.row;
  return ended === null && (status === null || status === entry.was) && keepsRest(entry);
};

/** Whether the commit leaves alone what most steps leave alone. */
const keepsRest = ({ row: { rest }, before }: RunWrite): boolean =>
  before !== null &&
  rest.version === before.version &&
  rest.definition === before.definition &&
  rest.tags === before.tags &&
  rest.tagsLast === before.tagsLast &&
  rest.parked === before.parked &&
  rest.attempts === before.attempts &&
  rest.cancelDelivered === before.cancelDelivered;
