import type { RunStatus } from '#core/status';

/** What one commit of one run writes. Everything in it was computed before the transaction began. */
export interface RunWrite {
  run: number;
  /** The commit counts only while this token owns the run and `seq` is still the stored one. */
  owner: string;
  seq: number;
  /** Its newest row of history, as long as the commit counts. */
  last: number | null;
  /** Its status, as far as this owner knows. */
  was: RunStatus | null;
  row: RowWrite;
  /** `row.rest` as this owner wrote it last; null before that. */
  before: RowRest | null;
  history: HistoryWrite[];
  operations: Operation[];
  at: number;
}

/** What a commit writes into the run's row. */
export interface RowWrite {
  /** Null: it depends on other rows, such as its children's. */
  status: RunStatus | null;
  seq: number;
  state: string;
  snapshot: string | null;
  epoch: number;
  rest: RowRest;
  output: string | null;
  error: string | null;
  /** The terminal status, when this commit ends the run. */
  ended: 'done' | 'failed' | 'cancelled' | null;
}

/** What most steps leave as it is. */
export interface RowRest {
  version: number;
  definition: string;
  tags: string;
  tagsLast: string;
  parked: string | null;
  attempts: number;
  cancelDelivered: boolean;
}

export interface HistoryWrite {
  seq: number;
  event: string;
  fromState: string | null;
  toState: string;
  effects: string;
  ms: number | null;
  error: string | null;
  patch: string | null;
  snapshot: string | null;
  /** The deadlines after it, as a JSON array. */
  timers: string | null;
}

export type Operation =
  /** `again`: in place of another of this id, which may be stored. */
  | {
      type: 'effect.put';
      again?: true;
      child: string;
      epoch: number;
      src: string;
      input: string;
      dueAt: number;
    }
  | {
      type: 'effect.fail';
      child: string;
      state: 'due' | 'pending' | 'parked';
      attempt: number;
      looks: number;
      dueAt: number;
      error: string | null;
      /** Null leaves what is stored. */
      saved: string | null;
    }
  | { type: 'effect.save'; child: string; saved: string }
  | { type: 'effect.drop'; child: string }
  | { type: 'timer.put'; timer: string; epoch: number; event: string; dueAt: number }
  | { type: 'timer.drop'; timer: string }
  /** `instead`: of the child that has this id now, which is let go, unless it is the same run. */
  | {
      type: 'child.start';
      instead?: true;
      childId: string;
      epoch: number;
      run: NewRun;
      onClose: 'cancel' | 'abandon';
    }
  | { type: 'child.release'; childId: string; reason: string; closing: boolean }
  | { type: 'child.settle'; childId: string }
  /** The run has ended, and hands its work to a new one. */
  | { type: 'run.continue'; run: NewRun }
  | { type: 'event.applied'; id: number }
  | { type: 'event.keep'; event: string; child: string | null; epoch: number | null }
  | { type: 'event.toChild'; childId: string; event: string; secrets?: SecretRow[] }
  | { type: 'event.out'; event: string }
  | { type: 'secret.put'; ref: string; value: string }
  | { type: 'cancel.forget' }
  | { type: 'fork.begun' };

/** The value, as JSON, that a reference stands for. */
export interface SecretRow {
  ref: string;
  value: string;
}

export interface NewRun {
  uid: string;
  machine: string;
  version: number;
  definition: string;
  key: string | null;
  input: string;
  state: string;
  queue: string | null;
  /** Higher first, among those that wait for a place of one queue. */
  priority: number;
  /** Milliseconds since the epoch: it begins no earlier. */
  startAt: number | null;
  schedule: string | null;
  labels: string | null;
  /** W3C Trace Context, as JSON: `{ traceparent, tracestate? }`. */
  trace: string | null;
  /** What the references in its input stand for. */
  secrets?: readonly SecretRow[];
}

/** The row of a run that is stored with its first commit made. */
export interface BegunRow {
  seq: number;
  state: string;
  snapshot: string | null;
  epoch: number;
  /** That commit's row of history. */
  last: number | null;
}

/** For whose end a run waits before it begins, and what happens when that one ends otherwise. */
export interface AfterWish {
  run: string;
  when: 'done' | 'ended' | 'failed';
  otherwise: 'cancel' | 'park';
}

/** How a run is to be started by somebody who is no run. */
export interface StartWish {
  owner: string;
  at: number;
  /** What an ended run of the same id or key means. */
  reuse: 'join' | 'refuse' | 'fresh' | 'fresh-if-failed';
  /** What a live run of the same id or key means. */
  conflict: 'join' | 'refuse' | 'replace';
  after: AfterWish | null;
}

/** What became of a wish to start. */
export interface StartOutcome extends StartedRow {
  /**
   * `started`; `joined`: the run that was there is the answer; refused for a run that is `live`, has `ended`, or
   * is of another `machine`, or because there is no run to wait for: `missing`.
   */
  verdict: 'started' | 'joined' | 'live' | 'ended' | 'machine' | 'missing';
  /** The live run that was told to end. */
  replaced: string | null;
}

/** A wish to start, with the first commit of that run where it is known already; its number is given here. */
export interface StartWrite {
  run: NewRun;
  wish: StartWish;
  first: RunWrite | null;
}

/** What became of it, and of its first commit: null when that was not written. */
export interface Started extends StartOutcome {
  first: Committed | null;
}

export interface QueueSetting {
  places: number;
  ordering: 'priority' | 'fifo';
  keepNewest: number | null;
}

export interface StartedRow {
  id: number;
  uid: string;
  joined: boolean;
}

/** A run as it was found by its id. */
export interface FoundRun extends RunRow {
  /** The ids of its parents, as a JSON array. */
  parents: string;
}

/** What a commit did, besides what was asked. */
export interface Committed {
  run: number;
  /** False: the run is no longer this owner's, or moved meanwhile; nothing of it was written. */
  held: boolean;
  last: number | null;
  /** Runs that it started, and that this owner is to move. */
  born: number[];
  /** It ended the run, and others were told. */
  reached: boolean;
}

export interface RunRow {
  id: number;
  uid: string;
  machine: string;
  version: number;
  definition: string;
  key: string | null;
  input: string;
  status: RunStatus;
  state: string;
  tags: string;
  tagsLast: string;
  snapshot: string | null;
  /** Of a fork: `{ run, past }` until it has begun. */
  origin: string | null;
  /** Of a fork: the run and its commit, as JSON. */
  forkedFrom: string | null;
  output: string | null;
  error: string | null;
  parked: string | null;
  attempts: number;
  seq: number;
  last: number | null;
  epoch: number;
  owner: string | null;
  standalone: boolean;
  cancel: string | null;
  cancelDelivered: boolean;
  queue: string | null;
  admitted: boolean;
  createdAt: number;
  updatedAt: number;
  endedAt: number | null;
  priority: number;
  startAt: number | null;
  afterRun: number | null;
  afterWhen: AfterWish['when'] | null;
  afterOtherwise: AfterWish['otherwise'] | null;
  replaces: number | null;
  awaited: boolean;
  killed: string | null;
  continuedAs: number | null;
  schedule: string | null;
  historyFrom: number;
  labels: string | null;
  /** W3C Trace Context, as JSON: `{ traceparent, tracestate? }`. */
  trace: string | null;
}

/** A schedule as it is stored. */
export interface ScheduleRow {
  name: string;
  machine: string;
  input: string;
  cron: string;
  timeZone: string;
  catchUp: 'none' | 'last' | 'all';
  catchUpMax: number;
  overlap: 'skip' | 'queue' | 'allow';
  paused: boolean;
  nextAt: number | null;
  lastAt: number | null;
  createdAt: number;
  updatedAt: number;
}

export interface EffectRow {
  run: number;
  child: string;
  epoch: number;
  src: string;
  input: string;
  state: 'due' | 'pending' | 'parked';
  attempt: number;
  looks: number;
  dueAt: number;
  error: string | null;
  /** What its attempts gave to `heartbeat` last. */
  saved: string | null;
}

export interface TimerRow {
  run: number;
  timer: string;
  epoch: number;
  event: string;
  dueAt: number;
}

export interface LinkRow {
  parent: number;
  childId: string;
  epoch: number;
  child: number;
  joined: boolean;
  settled: boolean;
}

export interface EventRow {
  id: number;
  run: number;
  event: string;
  child: string | null;
  epoch: number | null;
}

/** What became of an event to a run: `ended` when the run had, and takes nothing any more. */
export type Sent = 'accepted' | 'duplicate' | 'ended';
