import type { RunStatus } from '#core/status';

/** What one commit of one run writes. Everything in it was computed before the transaction began. */
export interface RunWrite {
  run: number;
  /** The commit counts only while this token owns the run and `seq` is still the stored one. */
  owner: string;
  seq: number;
  row: {
    seq: number;
    version: number;
    definition: string;
    state: string;
    tags: string;
    tagsLast: string;
    snapshot: string | null;
    output: string | null;
    error: string | null;
    parked: string | null;
    attempts: number;
    epoch: number;
    cancelDelivered: boolean;
    /** The terminal status, when this commit ends the run. */
    ended: 'done' | 'failed' | 'cancelled' | null;
  };
  history: HistoryWrite[];
  operations: Operation[];
  at: number;
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
}

export type Operation =
  | { type: 'effect.put'; child: string; epoch: number; src: string; input: string; dueAt: number }
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
  | { type: 'child.start'; childId: string; epoch: number; run: NewRun }
  | { type: 'child.release'; childId: string; reason: string }
  | { type: 'child.settle'; childId: string }
  | { type: 'event.applied'; id: number }
  | { type: 'event.keep'; event: string; child: string | null; epoch: number | null }
  | { type: 'event.toChild'; childId: string; event: string }
  | { type: 'event.out'; event: string };

export interface NewRun {
  uid: string;
  machine: string;
  version: number;
  definition: string;
  key: string | null;
  input: string;
  state: string;
  queue: string | null;
}

export interface StartedRow {
  id: number;
  uid: string;
  joined: boolean;
}

/** What a commit did, besides what was asked. */
export interface Committed {
  run: number;
  /** False: the run is no longer this owner's, or moved meanwhile; nothing of it was written. */
  held: boolean;
  last: number | null;
  children: StartedChild[];
}

export interface StartedChild {
  childId: string;
  epoch: number;
  run: number;
  uid: string;
  joined: boolean;
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
