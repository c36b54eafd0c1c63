import type { Commits, QueueSetting, Reads } from '#db/engine/index';
import type { Rules } from './draft.ts';
import type { ExecutorOptions } from './executor.ts';
import type { Registry } from './registry.ts';
import type { LiveRun } from './run.ts';
import type { Spans } from './spans.ts';
import type { MachineEvent } from './statechart.ts';
import type { OwnerLocks, RetryPolicies, System } from './types.ts';

export interface HostOptions {
  token: string;
  reads: Reads;
  commits: Commits;
  owners: OwnerLocks;
  registry: Registry;
  system: System;
  queues: ReadonlyMap<string, QueueSetting>;
  retry: RetryPolicies;
  snapshotBytesMax: number;
  historyRowsMax: number;
  stuckAfterMs: number;
  /** Called around commits and effects: a place to stop, for drills and tests. Null where nobody wants it. */
  probe: ((point: string) => void) | null;
  /** Somebody may want to know that these runs changed; those in `live` are known not to have ended. */
  changed(runs: readonly number[], live?: Pick<Set<number>, 'has'>): void;
  emitted(run: LiveRun, event: MachineEvent): void;
  progress: ExecutorOptions['progress'];
  /** Null where there are no interceptors. */
  spans: Spans | null;
  /** A fault of the engine or the database: the process should not go on as if nothing were. */
  fault(fault: unknown): void;
}

/** What a run is moved by, at this moment. */
export function rulesOf(options: HostOptions): Rules {
  const { system, registry, queues, retry, reads } = options;
  return {
    now: system.now(),
    random: () => system.random(),
    newId: () => system.newId(),
    hashOf: (definition) => registry.hashOf(definition),
    hasQueue: (name) => queues.has(name),
    definitionNamed: (name) => registry.find(name)?.definition,
    retry,
    snapshotBytesMax: options.snapshotBytesMax,
    historyRowsMax: options.historyRowsMax,
    historyFrom: (run) => reads.run(run)?.historyFrom ?? 1,
  };
}
