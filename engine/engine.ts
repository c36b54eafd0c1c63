import { dirname, join } from 'node:path';
import type { Database } from 'better-sqlite3';
import { aborted, type FlydError as Failure, FlydError, unrecoverable } from '#core/errors';
import { isTerminal } from '#core/status';
import { createCommits, createReads, engineSet, type RunRow } from '#db/engine/index';
import { openDatabase } from '#db/open';
import { Host } from './host.ts';
import { toText } from './json.ts';
import { sqliteOwnerLocks } from './owner-lock.ts';
import { createRegistry } from './registry.ts';
import { realSystem } from './system.ts';
import type {
  Definition,
  EngineEvent,
  HistoryRow,
  Json,
  OwnerLocks,
  RetryPolicies,
  RunFilter,
  RunView,
  System,
} from './types.ts';
import { historyOf, snapshotAt, viewOf } from './views.ts';

export interface EngineOptions {
  /** The path of its database, made when absent; or one that is open, with at least the engine's tables, and stays open. */
  db: string | Database;
  machines: readonly Definition[];
  /** How processes tell whether another is alive. Default: SQLite locks in `owners/` beside the database. */
  owners?: OwnerLocks;
  system?: System;
  /** Places of each queue that machines name. */
  queues?: Readonly<Record<string, number>>;
  retry?: Partial<RetryPolicies>;
  /** Bytes of one snapshot; a run that grows beyond is parked. */
  snapshotBytesMax?: number;
  /** An owner that holds its lock and shows no sign of life for so long is killed, if somebody wants its runs. */
  stuckAfterMs?: number;
  /** Called at every commit and around every effect: where drills stop the process. */
  probe?: (point: string) => void;
  /** A fault of the engine or its database. Default: thrown where nobody catches it, unless it may heal. */
  onFault?: (fault: unknown) => void;
}

export interface StartedRun {
  id: string;
  /** A live run of the same key was there already. */
  joined: boolean;
}

export interface WaitOptions {
  /** `settled`: also when nothing of it moves because the world lacks something, or it waits for a person. */
  until?: 'ended' | 'settled';
  signal?: AbortSignal;
}

export interface Engine {
  /** This process's name as an owner. */
  readonly token: string;
  start<Input>(
    definition: Definition<Input>,
    options: { input: Input; key?: string | null; id?: string },
  ): Promise<StartedRun>;
  /** Takes over the live runs whose owner is dead: all, or one with those below it. Gives the topmost taken. */
  resume(filter?: { id?: string }): Promise<string[]>;
  /** Gives an event to a run, once for each dedupe key, in order. */
  send(id: string, event: { type: string }, options?: { dedupe?: string }): Promise<void>;
  /** Says, durably, that the run is to be cancelled; its machine compensates. `wait` for its end. */
  cancel(id: string, options?: { reason?: string }): Promise<void>;
  /** Lets what is parked or pending in the run, and below it, try again. */
  retry(id: string): Promise<void>;
  wait(id: string, options?: WaitOptions): Promise<RunView>;
  run(id: string): RunView;
  runs(filter?: RunFilter): RunView[];
  children(id: string): { childId: string; run: RunView }[];
  history(id: string): HistoryRow[];
  /** The whole persisted snapshot after commit `seq`. */
  snapshotAt(id: string, seq: number): Json;
  subscribe(listener: (event: EngineEvent) => void): () => void;
  /** Stops: no new effects, running ones are aborted and waited for, the runs stay resumable by anyone. */
  close(why?: Failure): Promise<void>;
}

const defaultRetry: RetryPolicies = {
  recoverable: { attemptsMax: 6, pauseMs: 200, pauseMsMax: 30_000 },
  pending: { pauseMs: 1000, pauseMsMax: 60_000 },
};

/** Opens an engine on a database. Several processes may, on the same one. */
export function openEngine(options: EngineOptions): Engine {
  const db = typeof options.db === 'string' ? openDatabase(options.db, [engineSet]) : options.db;
  const system = options.system ?? realSystem;
  const registry = createRegistry(options.machines);
  for (const { definition } of registry.all())
    if (definition.queue !== null && options.queues?.[definition.queue] === undefined)
      throw unrecoverable('machine_refused', `machine '${definition.name}' names a queue without places`, {
        subject: definition.queue,
        hint: `give openEngine({ queues: { ${definition.queue}: 4 } })`,
      });
  const reads = createReads(db);
  const commits = createCommits(db);
  const owners = options.owners ?? sqliteOwnerLocks(join(dirname(db.name), 'owners'));
  const token = system.newId();
  const listeners = new Set<(event: EngineEvent) => void>();
  const waiters = new Set<Waiter>();
  let lock: { release(): void } | null = null;
  let closing: Promise<void> | null = null;

  const publish = (event: EngineEvent): void => {
    for (const listener of listeners) listener(event);
  };
  const host = new Host({
    token,
    reads,
    commits,
    owners,
    registry,
    system,
    retry: {
      recoverable: { ...defaultRetry.recoverable, ...options.retry?.recoverable },
      pending: { ...defaultRetry.pending, ...options.retry?.pending },
    },
    snapshotBytesMax: options.snapshotBytesMax ?? 1024 * 1024,
    stuckAfterMs: options.stuckAfterMs ?? 30_000,
    probe: options.probe ?? (() => {}),
    changed(ids) {
      for (const waiter of waiters) if (waiter.anyRun || ids.includes(waiter.run)) waiter.wake();
      if (listeners.size === 0) return;
      for (const id of ids) {
        const row = reads.run(id);
        if (row !== undefined) publish({ type: 'run', run: viewOf(reads, row) });
      }
    },
    emitted: (run, event) => publish({ type: 'emitted', run: run.uid, event }),
    progress: (run, child, { src, input }, progress) =>
      publish({ type: 'progress', run: run.uid, effect: child, src, input, progress }),
    fault: options.onFault ?? throwUnlessHealing,
  });

  /** Nothing is owned before this process holds a lock that others can try. */
  function own(): void {
    if (closing !== null) throw aborted('interrupted', 'the engine is closing');
    if (lock !== null) return;
    const held = owners.hold(token);
    try {
      for (const { hash, config, definition } of registry.all())
        commits.putDefinition({
          hash,
          config,
          machine: definition.name,
          version: definition.version,
          at: system.now(),
        });
      for (const [name, places] of Object.entries(options.queues ?? {})) commits.setQueue(name, places);
    } catch (fault) {
      held.release();
      throw fault;
    }
    lock = held;
  }

  /** A write that fails may be durable all the same: what this process owns is then looked at again. */
  function writing<T>(work: () => T): T {
    try {
      return work();
    } catch (fault) {
      host.doubt();
      throw fault;
    }
  }

  function rowOf(id: string): RunRow {
    const row = reads.runByUid(id);
    if (row === undefined)
      throw unrecoverable('run_not_found', 'no run has this id', {
        subject: id,
        hint: 'see the runs there are',
      });
    return row;
  }

  /** Takes the run and those below it, where their owners are dead. */
  function takeTree(id: string): number[] {
    own();
    const rows = reads.subtree(id).flatMap((member) => reads.run(member) ?? []);
    return writing(() => host.takeOver(rows));
  }

  return {
    token,
    async start(definition, { input, key, id }) {
      own();
      const known = registry.find(definition.name);
      if (known === undefined)
        throw unrecoverable('machine_unknown', `'${definition.name}' was not given to openEngine`, {
          subject: definition.name,
        });
      if (id !== undefined) {
        const earlier = reads.runByUid(id);
        if (earlier !== undefined) return { id, joined: true };
      }
      const run = {
        uid: id ?? system.newId(),
        machine: definition.name,
        version: definition.version,
        definition: known.hash,
        key: key === undefined ? definition.key(input) : key,
        input: toText(input, 'input'),
        state: '',
        queue: definition.queue,
      };
      return writing(() => {
        const started = commits.insertRun(run, { owner: token, standalone: true, at: system.now() });
        if (started.joined) host.look();
        else host.adopt(started.id);
        return { id: started.uid, joined: started.joined };
      });
    },

    async resume({ id } = {}) {
      own();
      const before = id === undefined ? reads.runs({ live: true }) : [];
      const taken = id === undefined ? writing(() => host.takeOver(before)) : takeTree(id);
      const rows = taken.flatMap((member) => reads.run(member) ?? []);
      const uids = new Set(rows.map(({ uid }) => uid));
      return rows
        .filter(
          (row) =>
            row.uid === id || !reads.parents(row.id).some((parent) => parent.live && uids.has(parent.uid)),
        )
        .map(({ uid }) => uid);
    },

    async send(id, event, { dedupe } = {}) {
      if (/^(xstate|flyd)\./.test(event.type))
        throw unrecoverable('usage', `events named '${event.type}' are the engine's own`, {
          subject: id,
          hint: 'give the event a name of your own',
        });
      const row = rowOf(id);
      if (row.endedAt !== null)
        throw unrecoverable('run_not_active', `the run has ended (${row.status})`, { subject: id });
      const text = toText(event, 'event');
      writing(() => {
        commits.insertEvent(row.id, text, { dedupe: dedupe ?? null, at: system.now() });
        host.look();
      });
    },

    async cancel(id, { reason } = {}) {
      const row = rowOf(id);
      if (row.endedAt !== null)
        throw unrecoverable('run_not_active', `the run has ended (${row.status})`, { subject: id });
      const cancel = JSON.stringify({ reason: reason ?? 'asked for', at: system.now() });
      writing(() => {
        commits.requestCancel(row.id, cancel);
        takeTree(id);
        host.look();
      });
    },

    async retry(id) {
      const row = rowOf(id);
      if (row.endedAt !== null)
        throw unrecoverable('run_not_active', `the run has ended (${row.status})`, {
          subject: id,
          hint: 'start it anew',
        });
      writing(() => {
        commits.insertEvent(row.id, JSON.stringify({ type: 'flyd.retry' }), {
          dedupe: null,
          at: system.now(),
        });
        takeTree(id);
        host.look();
      });
    },

    async wait(id, { until = 'ended', signal } = {}) {
      const { id: run } = rowOf(id);
      const isOver = (row: RunRow): boolean =>
        isTerminal(row.status) ||
        (until === 'settled' && (row.status === 'pending' || row.status === 'parked') && !reads.moving(run));
      if (lock === null && !isOver(rowOf(id))) own();
      const unwatch = host.watch(run);
      try {
        for (;;) {
          const row = rowOf(id);
          if (isOver(row)) return viewOf(reads, row);
          if (closing !== null) throw aborted('interrupted', 'the engine is closing', { subject: id });
          await nextChange(waiters, { run, anyRun: until === 'settled' }, signal);
        }
      } finally {
        unwatch();
      }
    },

    run: (id) => viewOf(reads, rowOf(id)),
    runs: ({ id, ...filter } = {}) =>
      reads.runs({ ...filter, ...(id === undefined ? {} : { uid: id }) }).map((row) => viewOf(reads, row)),
    children: (id) =>
      reads.links(rowOf(id).id).flatMap(({ childId, child }) => {
        const row = reads.run(child);
        return row === undefined ? [] : [{ childId, run: viewOf(reads, row) }];
      }),
    history: (id) => historyOf(reads, rowOf(id)),
    snapshotAt: (id, seq) => snapshotAt(reads, rowOf(id), seq),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close(why = aborted('interrupted', 'the process is shutting down; the run stays resumable')) {
      closing ??= host.close(why).finally(() => {
        for (const { wake } of waiters) wake();
        lock?.release();
        if (typeof options.db === 'string') db.close();
      });
      return closing;
    },
  };
}

interface Waiter {
  run: number;
  /** Whether it is settled depends on the runs below it, too. */
  anyRun: boolean;
  wake(): void;
}

function nextChange(
  waiters: Set<Waiter>,
  what: Omit<Waiter, 'wake'>,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const forget = (): void => {
      waiters.delete(waiter);
      signal?.removeEventListener('abort', stop);
    };
    const stop = (): void => {
      forget();
      reject(signal?.reason);
    };
    const waiter: Waiter = {
      ...what,
      wake() {
        forget();
        resolve();
      },
    };
    if (signal?.aborted) return stop();
    signal?.addEventListener('abort', stop, { once: true });
    waiters.add(waiter);
  });
}

function throwUnlessHealing(fault: unknown): void {
  if (fault instanceof FlydError && fault.kind === 'recoverable') return;
  queueMicrotask(() => {
    throw fault;
  });
}
