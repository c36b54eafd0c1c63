import type { Database } from 'better-sqlite3';
import type { FlydError as Failure } from '#core/errors';
import type { CheckedRun } from './check.ts';
import type { Definition, EventOf, InputOf, RunId, SnapshotOf, TagOf } from './definition.ts';
import type { Interceptor } from './interceptor.ts';
import type { Queues } from './queue.ts';
import type { Compacted, Retention } from './retention.ts';
import type { Schedules } from './schedule.ts';
import type { TraceHeaders } from './trace.ts';
import type {
  ChildRun,
  EngineEvent,
  HistoryRow,
  OwnerLocks,
  RetryPolicies,
  RunFilter,
  RunView,
  System,
} from './types.ts';

export interface EngineOptions {
  /** The path of its database, made when absent; or one that is open, with at least the engine's tables, and stays open. */
  db: string | Database;
  machines: readonly Definition[];
  /** How processes tell whether another is alive. Default: SQLite locks in `owners/` beside the database. */
  owners?: OwnerLocks;
  system?: System;
  /** The queues that machines, and starts, name: places alone, or more. */
  queues?: Queues;
  retry?: Partial<RetryPolicies>;
  /** A run that grows beyond is parked: bytes of its snapshot (default: 1 MiB), rows of its history (default: none). */
  limits?: { snapshotBytesMax?: number; historyRowsMax?: number };
  /** What need not be kept, and is deleted now and then. Default: all is kept. */
  retention?: Retention;
  /** An owner that holds its lock and shows no sign of life for so long is killed, if somebody wants its runs. */
  stuckAfterMs?: number;
  /** Called at every commit and around every effect: where drills stop the process. */
  probe?: (point: string) => void;
  /** Called around runs, effects and their attempts, the first outermost: logging, metrics, tracing. */
  interceptors?: readonly Interceptor[];
  /** A fault of the engine or its database. Default: thrown where nobody catches it, unless it may heal. */
  onFault?: (fault: unknown) => void;
}

export interface StartOptions<D extends Definition = Definition> {
  input: InputOf<D>;
  /** One live run for each key. Default: what the machine's `key` says; null for none. */
  key?: string | null;
  /** The run's id, unique for ever. Default: a new one. */
  id?: string;
  /**
   * What it means that the id, or the key, was that of a run that has ended: `join` gives that run,
   * `refuse` is an error (`run_conflict`). For keys only: `fresh` starts a new run, `fresh-if-failed` gives the
   * newest ended run if it is done. Default: `join` for an id, `fresh` for a key.
   */
  reuse?: 'join' | 'refuse' | 'fresh' | 'fresh-if-failed';
  /**
   * What it means that the id, or the key, is that of a live run: `join` (default) gives that run, `refuse` is an
   * error (`run_conflict`), `replace` (keys only) cancels it, and the new run begins when it has ended.
   */
  conflict?: 'join' | 'refuse' | 'replace';
  /** Another queue than the machine's; null for none. */
  queue?: string | null;
  /** Whom a free place of the queue goes to: higher first. Default: 0. Child runs inherit it. */
  priority?: number;
  /** Begins no earlier than this (milliseconds since the epoch)... */
  startAt?: number;
  /** ...or than so long from now. */
  delayMs?: number;
  /** Begins when another run has ended as it should; what otherwise becomes of it is to be said, too. */
  after?: { run: string; when: 'done' | 'ended' | 'failed'; otherwise: 'cancel' | 'park' };
  /** Kept with the run, for those who look. */
  labels?: Readonly<Record<string, string>>;
  /** What it is part of, for `interceptors` (W3C Trace Context). The runs that it starts are part of the same. */
  trace?: TraceHeaders;
}

export interface StartedRun<D extends Definition = Definition> {
  /** Give it to `wait`, `send` and the like: it carries the types of the machine. */
  id: RunId<D>;
  /** The run was there already: it has the id, or the key. */
  joined: boolean;
}

export interface ForkOptions<D extends Definition = Definition> {
  seq: number;
  id?: string;
  /** What the copy shows as its input, and its key is made of; what is in its context stays. */
  input?: InputOf<D>;
  key?: string | null;
}

export interface WaitOptions {
  /** `settled`: also when nothing of it moves because the world lacks something, or it waits for a person. */
  until?: 'ended' | 'settled';
  /** A run that handed its work to another has not ended before that one has; the answer is the last one. */
  follow?: boolean;
  signal?: AbortSignal;
}

export interface Engine {
  /** This process's name as an owner. */
  readonly token: string;
  /** Starts a run, or gives the one that is the answer. Throws `run_conflict` where the options refuse that one. */
  start<D extends Definition>(definition: D, options: StartOptions<D>): Promise<StartedRun<D>>;
  /** Takes over the live runs whose owner is dead: all, or one with those below it. Gives the topmost taken. */
  resume(filter?: { id?: string }): Promise<string[]>;
  /**
   * Gives an event to a run, in order. With a dedupe key it is given once, also after the run has ended:
   * then the answer is `duplicate`, so that a send whose answer was lost may be repeated.
   */
  send<D extends Definition>(
    id: RunId<D> | string,
    event: EventOf<D>,
    options?: { dedupe?: string },
  ): Promise<'accepted' | 'duplicate'>;
  /** Says, durably, that the run is to be cancelled; its machine compensates. `wait` for its end. */
  cancel(id: string, options?: { reason?: string }): Promise<void>;
  /**
   * Ends the run as it is: its effects are aborted and waited for, then it is `cancelled` with the error
   * `killed`. Nothing is compensated; its children end as they do when a parent ends.
   */
  kill(id: string, options?: { reason?: string }): Promise<void>;
  /** Deletes a run that has ended, with its history. Throws `run_in_use` for one that is live, or a live run's child. */
  purge(id: string): Promise<void>;
  /**
   * Lets what is parked or pending in the run, and below it, try again. With `from` (a commit of its history)
   * the run is first set back to there: what it has under way is given up, what it had then begins anew. A run
   * that has failed is live again, at `from` or at the moment before it failed. Throws `reset_refused` when
   * something would be done twice, `run_conflict` when another live run has its key.
   */
  retry(id: string, options?: { from?: number }): Promise<void>;
  /**
   * Starts a copy of the run as it was after commit `seq`; what was under way then begins anew. Throws
   * `reset_refused` when it had ended by then, `run_conflict` when the key is another live run's.
   */
  fork<D extends Definition>(id: RunId<D> | string, options: ForkOptions<D>): Promise<StartedRun<D>>;
  wait<D extends Definition>(id: RunId<D> | string, options?: WaitOptions): Promise<RunView<D>>;
  /**
   * Until a state of the run has the tag, or one of them, or had it for however short since the call. When
   * the run ends first: its view, if it ever had the tag, else `tag_unreachable`.
   */
  waitFor<D extends Definition>(
    id: RunId<D> | string,
    tags: TagOf<D> | readonly TagOf<D>[],
    options?: { signal?: AbortSignal },
  ): Promise<RunView<D>>;
  run<D extends Definition>(id: RunId<D> | string): RunView<D>;
  /** The id of a run that is known to be there, with the types of its machine. Throws `run_not_found`. */
  find<D extends Definition>(definition: D, id: string): RunId<D>;
  runs(filter?: RunFilter): RunView[];
  children<D extends Definition>(id: RunId<D> | string): ChildRun<D>[];
  history(id: string): HistoryRow[];
  /** The whole persisted snapshot after commit `seq`. */
  snapshotAt<D extends Definition>(id: RunId<D> | string, seq: number): SnapshotOf<D>;
  /** Runs that are started at set times. */
  readonly schedules: Schedules;
  /** Deletes now what `retention` says need not be kept. */
  compact(): Promise<Compacted>;
  /** Whether the machines of this engine can carry on each live run, whoever owns it. Nothing is written. */
  check(): CheckedRun[];
  subscribe(listener: (event: EngineEvent) => void): () => void;
  /** Stops: no new effects, running ones are aborted and waited for, the runs stay resumable by anyone. */
  close(why?: Failure): Promise<void>;
}
