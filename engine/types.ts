import type { Progress } from '#core/effect';
import type { ErrorRecord } from '#core/errors';
import type { Json } from '#core/json';
import type { RunStatus } from '#core/status';
import type { ChildrenOf, Definition, OutputOf, RunId, StoredInput, TagOf } from './definition.ts';

export type { Json } from '#core/json';

export interface RetryPolicy {
  /** Recoverable failures before the run is parked. */
  attemptsMax: number;
  /** The first pause; it doubles from there, with jitter of a half either way. */
  pauseMs: number;
  pauseMsMax: number;
}

export interface RetryPolicies {
  recoverable: RetryPolicy;
  /** For what the world lacks: no end, only pauses. */
  pending: Omit<RetryPolicy, 'attemptsMax'>;
}

/** What is said of a policy; the rest is the engine's. */
export type RetryWishes = { [Kind in keyof RetryPolicies]?: Partial<RetryPolicies[Kind]> };

/** How the attempts of one actor are watched and repeated. */
export interface EffectPolicy {
  /** From the start of an attempt to its end. Then it is aborted, and the failure is recoverable: `effect_timeout`. */
  timeoutMs?: number;
  /** Without `heartbeat` or `progress` for so long an attempt is aborted: `heartbeat_missed`, recoverable. */
  heartbeatMs?: number;
  retry?: RetryWishes;
}

/** A run as anybody may see it. Times are milliseconds since the epoch. */
export interface RunView<D extends Definition = Definition> {
  id: RunId<D>;
  machine: D['name'];
  version: number;
  key: string | null;
  /** The active state, as `parent.child`; parallel regions joined by `+`. */
  state: string;
  /** The tags of the active states: its public stages, to be waited for. */
  tags: TagOf<D>[];
  status: RunStatus;
  /** Failed attempts of the effects in flight. */
  attempts: number;
  /** The token of the process that owns it, or null. */
  owner: string | null;
  input: StoredInput<D>;
  output: OutputOf<D> | null;
  /** Why it failed, parked, or is pending; of a child, when a child is to blame. */
  error: ErrorRecord | null;
  /** When the next retry or timer is due. */
  nextAt: number | null;
  /** The queue whose places it needs. */
  queue: string | null;
  priority: number;
  /** What keeps it from beginning, since it was created: all of it must be over. */
  waitsFor: Hold[];
  labels: Record<string, string>;
  /** The run that it handed its work to: that one's output is the result. */
  continuedAs: string | null;
  /** The run and the commit that it is a copy of, or null. */
  forkedFrom: { run: string; seq: number } | null;
  parents: string[];
  createdAt: number;
  updatedAt: number;
  endedAt: number | null;
}

/** A run that another one started, under the id that it has there. */
export interface ChildRun<D extends Definition = Definition> {
  childId: string;
  run: ViewsOf<ChildrenOf<D>>;
}

/** For a union of definitions the union of their views: `run.machine` tells which. */
type ViewsOf<D extends Definition> = D extends Definition ? RunView<D> : never;

/** Something that must be over before a run begins. */
export type Hold =
  | { for: 'time'; until: number }
  | { for: 'run'; run: string; when: 'done' | 'ended' | 'failed' }
  /** The live run of its key, which is being cancelled for it. */
  | { for: 'key'; run: string }
  | { for: 'queue'; queue: string };

export interface HistoryRow {
  /** Global cursor, growing over all runs. */
  id: number;
  seq: number;
  at: number;
  /** The event's type: `xstate.init`, `xstate.done.actor.…`, `flyd.retry`, one of the machine's own. */
  event: string;
  from: string | null;
  to: string;
  /** Effects, child runs and timers that this commit started, as `src` or `src#id` names. */
  effects: string[];
  /** How long the effect took whose result this was. */
  ms: number | null;
  error: ErrorRecord | null;
}

export interface RunFilter {
  id?: string;
  machine?: string;
  key?: string;
  status?: RunStatus[];
  /** Only runs that have not ended. */
  live?: boolean;
  limit?: number;
}

export type EngineEvent =
  | { type: 'run'; run: RunView }
  | { type: 'progress'; run: string; effect: string; src: string; input: Json; progress: Progress }
  | { type: 'emitted'; run: string; event: { type: string } & Record<string, unknown> };

/** What a process must hold for its life, so that others can tell whether it is alive. */
export interface OwnerLocks {
  /** Takes a kernel lock that ends with this process, and nothing earlier. */
  hold(token: string): { release(): void };
  /** Whether the process (or a command of its) that holds `token` still lives. */
  isHeld(token: string): boolean;
  /** Kills a stuck owner, or says false where it cannot. */
  kill?(token: string, why: string): boolean;
  /** How long the owner has shown no sign of life, or null where that cannot be told. */
  silentMs?(token: string): number | null;
}

export interface Timer {
  cancel(): void;
}

/** Time and chance, as the engine sees them: replaced in simulations. */
export interface System {
  now(): number;
  setTimer(run: () => void, delayMs: number): Timer;
  /** From 0 to 1. */
  random(): number;
  /** A new id, unique and sortable by time. */
  newId(): string;
}
