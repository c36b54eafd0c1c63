import { dirname, join } from 'node:path';
import { aborted, FlydError, unrecoverable } from '#core/errors';
import { isTerminal } from '#core/status';
import {
  createCommits,
  createReads,
  engineSet,
  eraseWhatIsDeleted,
  type FoundRun,
  type RunRow,
} from '#db/engine/index';
import { openDatabase } from '#db/open';
import type { Engine, EngineOptions, WaitOptions } from './api.ts';
import { checkRuns } from './check-runs.ts';
import type { Definition, SnapshotOf } from './definition.ts';
import { Host } from './host.ts';
import { Housekeeping } from './housekeeping.ts';
import { sqliteOwnerLocks } from './owner-lock.ts';
import { queueSettings, refuseUnknownQueues } from './queues.ts';
import { createRegistry } from './registry.ts';
import { createRequests } from './requests.ts';
import { Scheduler } from './schedules.ts';
import { redact } from './secrets.ts';
import { Spans } from './spans.ts';
import { realSystem } from './system.ts';
import { hasTag } from './tags.ts';
import type { EngineEvent, Json, RetryPolicies, RunView } from './types.ts';
import { childrenOf, historyOf, snapshotAt, viewOf, viewOfFound, viewsOf } from './views.ts';
import { createWaiters, type Interest } from './waiting.ts';

const defaultRetry: RetryPolicies = {
  recoverable: { attemptsMax: 6, pauseMs: 200, pauseMsMax: 30_000 },
  pending: { pauseMs: 1000, pauseMsMax: 60_000 },
};

/** Opens an engine on a database. Several processes may, on the same one. */
export function openEngine(options: EngineOptions): Engine {
  const db = typeof options.db === 'string' ? openDatabase(options.db, [engineSet]) : options.db;
  const system = options.system ?? realSystem;
  const registry = createRegistry(options.machines);
  const queues = queueSettings(options.queues ?? {});
  refuseUnknownQueues(registry, queues);
  if (registry.all().some(({ definition }) => definition.secrets.length > 0)) eraseWhatIsDeleted(db);
  const reads = createReads(db);
  const commits = createCommits(db);
  const owners = options.owners ?? sqliteOwnerLocks(join(dirname(db.name), 'owners'));
  const token = system.newId();
  const listeners = new Set<(event: EngineEvent) => void>();
  const waiters = createWaiters();
  let lock: { release(): void } | null = null;
  let closing: Promise<void> | null = null;

  const publish = (event: EngineEvent): void => {
    for (const listener of listeners) listener(event);
  };
  const fault = options.onFault ?? throwUnlessHealing;
  const { compaction } = commits;
  const housekeeping = new Housekeeping(options.retention ?? {}, { compaction, system, fault });
  const host = new Host({
    token,
    reads,
    commits,
    owners,
    registry,
    system,
    queues,
    retry: {
      recoverable: { ...defaultRetry.recoverable, ...options.retry?.recoverable },
      pending: { ...defaultRetry.pending, ...options.retry?.pending },
    },
    snapshotBytesMax: options.limits?.snapshotBytesMax ?? 1024 * 1024,
    historyRowsMax: options.limits?.historyRowsMax ?? Number.POSITIVE_INFINITY,
    stuckAfterMs: options.stuckAfterMs ?? 30_000,
    probe: options.probe ?? null,
    changed(ids, live = new Set()) {
      waiters.changed(ids, live);
      housekeeping.occasion();
      if (listeners.size === 0) return;
      for (const id of ids) {
        const row = reads.run(id);
        if (row !== undefined) publish({ type: 'run', run: viewOf(reads, row) });
      }
    },
    emitted: (run, event) => publish({ type: 'emitted', run: run.uid, event }),
    progress(run, child, { src, input }, progress) {
      const shown = run.secrets === null ? input : run.secrets.scrub(input);
      publish({ type: 'progress', run: run.uid, effect: child, src, input: shown, progress });
    },
    spans: (options.interceptors ?? []).length === 0 ? null : new Spans(options.interceptors ?? [], fault),
    fault,
  });

  /** Nothing is owned before this process holds a lock that others can try. */
  function own(): void {
    if (closing !== null) throw aborted('interrupted', 'the engine is closing');
    if (lock !== null) return;
    const held = owners.hold(token);
    try {
      const at = system.now();
      commits.putDefinitions(
        registry.all().map(({ hash, config, definition: { name: machine, version } }) => ({
          ...{ hash, config, machine, version, at },
        })),
      );
      for (const [name, setting] of queues) commits.setQueue(name, setting);
    } catch (fault) {
      held.release();
      throw fault;
    }
    lock = held;
  }

  function rowOf(id: string): FoundRun {
    const row = reads.runByUid(id);
    if (row === undefined)
      throw unrecoverable('run_not_found', 'no run has this id', {
        subject: id,
        hint: 'see the runs there are',
      });
    return row;
  }

  /** The run as it is when `isOver` says so: looked at now, and after every change of it. */
  async function watching<D extends Definition>(
    id: string,
    { change, signal }: { change: Interest['change']; signal: AbortSignal | undefined },
    isOver: (row: RunRow) => boolean,
  ): Promise<RunView<D>> {
    // One that lives here has not ended, as far as is known: its row tells nothing yet.
    const living = change === 'end' ? host.numberOf(id) : undefined;
    let row = living === undefined ? rowOf(id) : null;
    if (row !== null && isOver(row)) return viewOfFound(reads, row);
    if (lock === null) own();
    const run = row?.id ?? (living as number);
    const unwatch = host.watch(run);
    try {
      while (row === null || !isOver(row)) {
        if (closing !== null) throw aborted('interrupted', 'the engine is closing', { subject: id });
        await waiters.next({ run, change }, signal);
        row = rowOf(id);
      }
      return viewOfFound(reads, row);
    } finally {
      unwatch();
    }
  }

  async function wait<D extends Definition>(id: string, options: WaitOptions = {}): Promise<RunView<D>> {
    const { until = 'ended', follow = false, signal } = options;
    const settled = until === 'settled';
    const change = settled ? 'any' : 'end';
    const over = await watching<D>(id, { change, signal }, ({ id: run, status }) => {
      const stands = settled && (status === 'pending' || status === 'parked') && !reads.moving(run);
      return isTerminal(status) || stands;
    });
    return follow && over.continuedAs !== null ? wait(over.continuedAs, options) : over;
  }

  const schedules = new Scheduler({
    ...{ token, system, registry, own, scheduling: commits.schedules },
    adopt: (run) => host.adopt(run),
    takeOver: (runs) => void host.takeOver(runs),
    fault(thrown) {
      host.doubt();
      fault(thrown);
    },
  });
  const requests = createRequests({
    token,
    host,
    reads,
    commits,
    registry,
    queues,
    schedules,
    system,
    own,
    rowOf,
  });

  return {
    token,
    ...requests,
    async compact() {
      own();
      return housekeeping.compact();
    },
    schedules,
    wait,
    async waitFor(id, wanted, { signal } = {}) {
      const tags = typeof wanted === 'string' ? [wanted] : wanted;
      const since = rowOf(id).seq;
      return watching(id, { change: 'own', signal }, (row) => hasTag(row, tags, since));
    },

    run: (id) => viewOfFound(reads, rowOf(id)),
    find({ name }, id) {
      const { machine } = rowOf(id);
      if (machine !== name)
        throw unrecoverable('run_not_found', `the run is one of machine '${machine}', not of '${name}'`, {
          subject: id,
        });
      return id;
    },
    runs: ({ id, ...filter } = {}) => viewsOf(reads, id === undefined ? filter : { ...filter, uid: id }),
    children: (id) => childrenOf(reads, rowOf(id)),
    history: (id) => historyOf(reads, rowOf(id)),
    snapshotAt: <D extends Definition>(id: string, seq: number) =>
      redact(snapshotAt(reads, rowOf(id), seq) as Json) as SnapshotOf<D>,
    check: () => checkRuns(reads, registry),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close(why = aborted('interrupted', 'the process is shutting down; the run stays resumable')) {
      schedules.close();
      closing ??= Promise.all([host.close(why), housekeeping.close()])
        .then(() => {})
        .finally(() => {
          waiters.wakeAll();
          lock?.release();
          if (typeof options.db === 'string') db.close();
        });
      return closing;
    },
  };
}

function throwUnlessHealing(fault: unknown): void {
  if (fault instanceof FlydError && fault.kind === 'recoverable') return;
  queueMicrotask(() => {
    throw fault;
  });
}
