import type { ErrorRecord } from '#core/errors';
import type { RunStatus } from '#core/status';
import type { HistoryWrite, Operation, RunWrite } from '#db/engine/index';
import type { Definition } from './definition.ts';
import { diff } from './json.ts';
import type { LiveRun } from './run.ts';
import type { MachineEvent } from './statechart.ts';
import type { Json, RetryPolicies } from './types.ts';

/** Every so many commits the history holds the whole snapshot instead of a patch. */
const fullSnapshotEvery = 50;
/** What a run did since its last commit: to be written whole, or not at all. */
export interface Draft {
  readonly expectedSeq: number;
  readonly history: HistoryWrite[];
  readonly operations: Operation[];
  readonly emitted: MachineEvent[];
  /** The last snapshot that was made into JSON text. */
  stored: { json: Json; text: string } | null;
  /** The run was parked and is not any more: its inbox is to be read again. */
  unparked: boolean;
  /** The row changed, though no transition was made: parked or ended before it began. */
  touched: boolean;
}

export interface Rules {
  now: number;
  random(): number;
  newId(): string;
  hashOf(definition: Definition): string;
  hasQueue(name: string): boolean;
  definitionNamed(name: string): Definition | undefined;
  retry: RetryPolicies;
  /** Bytes of a snapshot as JSON. */
  snapshotBytesMax: number;
  /** Rows of history of one run. */
  historyRowsMax: number;
  /** The oldest commit that the run's history has now. */
  historyFrom(run: number): number;
}

export const newDraft = (run: LiveRun): Draft => ({
  expectedSeq: run.seq,
  history: [],
  operations: [],
  emitted: [],
  stored: null,
  unparked: false,
  touched: false,
});

/** The draft as the one commit of this run; null when nothing happened. */
export function toWrite(run: LiveRun, draft: Draft, owner: string, now: number): RunWrite | null {
  const { history, operations, unparked, touched } = draft;
  if (history.length === 0 && operations.length === 0 && !unparked && !touched) return null;
  return {
    run: run.id,
    owner,
    seq: draft.expectedSeq,
    last: run.last,
    was: run.status,
    before: run.written,
    at: now,
    history,
    operations: worthWriting(operations),
    row: {
      status: statusOf(run),
      seq: run.seq,
      state: run.state,
      snapshot: run.json === null ? null : textOf(run, draft),
      epoch: run.epoch,
      rest: {
        version: run.definition.version,
        definition: run.hash,
        tags: JSON.stringify(run.tags),
        tagsLast: JSON.stringify(run.tagsLast),
        parked: run.parked === null ? null : JSON.stringify(run.parked),
        attempts: attemptsOf(run),
        cancelDelivered: run.cancelDelivered,
      },
      output: run.output === null ? null : JSON.stringify(run.output),
      error: run.error === null ? null : JSON.stringify(run.error),
      ended: run.ended,
    },
  };
}

/** Without what a later operation on the same effect undoes: most transitions end one and start another. */
function worthWriting(operations: Operation[]): Operation[] {
  if (operations.length < 2) return operations;
  const kept: Operation[] = [];
  for (const operation of operations) {
    const before = isOfEffect(operation)
      ? kept.findIndex((each) => isOfEffect(each) && each.child === operation.child)
      : -1;
    if (before >= 0) {
      kept.splice(before, 1);
      if (operation.type === 'effect.put') operation.again = true;
    }
    kept.push(operation);
  }
  return kept;
}

const isOfEffect = (operation: Operation): operation is Operation & { type: 'effect.put' | 'effect.drop' } =>
  operation.type === 'effect.put' || operation.type === 'effect.drop';

/** The status that the run has by what it is itself; null where others have a say: its children, or what holds it. */
function statusOf(run: LiveRun): RunStatus | null {
  if (run.ended !== null) return run.ended;
  if (run.parked !== null) return 'parked';
  let isPending = false;
  for (const { state } of run.effects.values()) {
    if (state === 'parked') return 'parked';
    isPending ||= state === 'pending';
  }
  if (run.seq === 0) return null;
  for (const { settled } of run.links.values()) if (!settled) return null;
  if (isPending) return 'pending';
  return run.effects.size > 0 ? 'running' : 'waiting';
}

const textOf = ({ json }: LiveRun, { stored }: Draft): string =>
  stored?.json === json ? stored.text : JSON.stringify(json);

function attemptsOf({ effects }: LiveRun): number {
  let sum = 0;
  for (const { attempt } of effects.values()) sum += attempt;
  return sum;
}

export const recordOf = (error: ErrorRecord | null): string | null =>
  error === null ? null : JSON.stringify(error);

/** What the next row of history keeps of the snapshot: a patch from the one before; null: the snapshot itself. */
export function patchOf(run: LiveRun, before: Json, after: Json): string | null {
  // What is a secret may become known later: a patch would then not fit what was masked before.
  const whole = before === null || run.rebased || run.secrets !== null || run.seq % fullSnapshotEvery === 0;
  run.rebased = false;
  return whole ? null : JSON.stringify(diff(before, after));
}

/** The deadlines that the run has after a commit, for who goes back there; null when it has none. */
export const timersText = ({ timers }: LiveRun): string | null =>
  timers.size === 0
    ? null
    : JSON.stringify([...timers].map(([timer, { event, dueAt }]) => ({ timer, event, dueAt })));

/** A row of history for something that was no transition: a failed attempt, a park, a retry. */
export function note(
  run: LiveRun,
  event: MachineEvent,
  ms: number | null,
  error: ErrorRecord | null,
  draft: Draft,
): void {
  run.seq += 1;
  const patch = patchOf(run, run.json, run.json);
  draft.history.push({
    seq: run.seq,
    event: JSON.stringify(event),
    fromState: run.state,
    toState: run.state,
    effects: '[]',
    ms,
    error: recordOf(error),
    timers: timersText(run),
    patch,
    snapshot: patch === null ? JSON.stringify(run.json) : null,
  });
}
