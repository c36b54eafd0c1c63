import type { Json, RunView } from '#engine/types';
import type { Commit, EffectView, TimerView } from '#engine/watch';
import { chartOf } from './chart.ts';
import type { createLayouts } from './layout.ts';
import type { DashboardParts } from './parts.ts';
import { type RunSummary, summaryOf } from './summary.ts';

/** What the page of a run shows besides its history. */
export interface RunDocument {
  /** Commits up to here are in what `history` gives, or come by the stream. */
  cursor: number;
  run: RunSummary;
  view: RunView;
  definition: string;
  parents: RunSummary[];
  children: { childId: string; run: RunSummary }[];
  effects: EffectView[];
  timers: TimerView[];
}

export type HistoryDocument = { cursor: number; commits: Commit[] };

/** How everything stood after one commit. */
export interface MomentDocument {
  commit: Commit;
  event: Json;
  /** The persisted snapshot before and after. */
  before: Json;
  after: Json;
  /** Children and effects that were in flight, by their ids. */
  inFlight: { id: string; src: string; sinceSeq: number }[];
}

export type DefinitionDocument = Awaited<ReturnType<typeof definitionDocument>>;

export function runDocument({ engine, watch, isAlive }: DashboardParts, id: string): RunDocument {
  const cursor = watch.cursor();
  const view = engine.run(id);
  const row = (each: RunView): RunSummary => summaryOf(each, isAlive);
  return {
    cursor,
    run: row(view),
    view,
    definition: watch.definitionOf(id),
    parents: view.parents.map((parent) => row(engine.run(parent))),
    children: engine
      .children(id)
      .map(({ childId, run }) => ({ childId, run: row(run) }))
      .sort((a, b) => a.run.createdAt - b.run.createdAt || (a.childId < b.childId ? -1 : 1)),
    effects: watch.effects(id),
    timers: watch.timers(id),
  };
}

export function historyDocument({ watch }: DashboardParts, id: string): HistoryDocument {
  return { cursor: watch.cursor(), commits: watch.history(id) };
}

export function momentDocument({ engine, watch }: DashboardParts, id: string, seq: number): MomentDocument {
  const after = engine.snapshotAt(id, seq);
  return {
    commit: watch.commit(id, seq),
    event: watch.eventAt(id, seq),
    before: seq > 1 ? engine.snapshotAt(id, seq - 1) : null,
    after,
    inFlight: inFlightAt(
      watch.history(id).filter((commit) => commit.seq <= seq),
      after,
    ),
  };
}

/** A snapshot keeps a child that has ended until its state is left: the history tells which still run. */
export function inFlightAt(commits: readonly Commit[], snapshot: Json): MomentDocument['inFlight'] {
  const since = new Map<string, { src: string; sinceSeq: number }>();
  for (const { seq, event, effects } of commits) {
    const ended = /^xstate\.(?:done|error)\.actor\.(.+)$/.exec(event)?.[1];
    if (ended !== undefined) since.delete(ended);
    for (const effect of effects) {
      const [src = '', id = src] = effect.split('#');
      since.set(id, { src, sinceSeq: seq });
    }
  }
  const shaped = (typeof snapshot === 'object' && snapshot !== null ? snapshot : {}) as {
    status?: string;
    children?: Record<string, unknown>;
  };
  if (shaped.status !== 'active') return [];
  return [...since].flatMap(([id, rest]) => (id in (shaped.children ?? {}) ? [{ id, ...rest }] : []));
}

/** A machine as a drawing; `run_not_found` has been said before for definitions that nobody stored. */
export async function definitionDocument(
  { watch }: Pick<DashboardParts, 'watch'>,
  layouts: ReturnType<typeof createLayouts>,
  hash: string,
) {
  const found = watch.definition(hash);
  if (found === undefined) return null;
  const chart = chartOf(found.config);
  return { hash, machine: found.machine, version: found.version, chart, layout: await layouts(hash, chart) };
}
