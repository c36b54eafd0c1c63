import { setTimeout as sleep } from 'node:timers/promises';
import { FlydError } from '#core/errors';
import type { Engine } from '#engine/api';
import type { RunView } from '#engine/types';
import type { Output } from './output.ts';
import { createProgressModel } from './progress/model.ts';
import { createRenderer } from './progress/render.ts';
import { withChildren } from './pull-document.ts';
import type { Stop } from './signals.ts';

export interface FollowOptions {
  out: Output;
  stop: Stop;
  /** Come back as soon as nothing can go on, instead of looking again and again for what the world lacks. */
  noWait: boolean;
  /** Show what happens. */
  progress: boolean;
}

const drawMs = 100;
/** What other processes do is not told by events: it is looked up this often. */
const lookMs = 1000;
const pendingPauseMs = 200;

/**
 * Waits for a run while showing what happens. Comes back when it has ended, is parked, or (`noWait`) is
 * pending; or when this process was asked to stop: then `stop.received()` says so.
 */
export async function follow(engine: Engine, id: string, options: FollowOptions): Promise<RunView> {
  const { out, stop, noWait, progress } = options;
  const model = createProgressModel(engine.token);
  const renderer = progress ? createRenderer(model, out) : null;
  const unsubscribe = engine.subscribe((event) => model.take(event));
  let lookedAt = 0;
  const look = (): void => {
    if (performance.now() - lookedAt > lookMs) {
      lookedAt = performance.now();
      for (const run of withChildren(engine, engine.run(id))) model.look(run);
    }
    renderer?.draw();
  };
  const timer = renderer === null ? undefined : setInterval(look, drawMs);
  try {
    for (;;) {
      const view = await engine.wait(id, { until: 'settled', signal: stop.signal });
      if (view.endedAt !== null && view.status !== 'done') await windDown(engine, { signal: stop.signal });
      if (view.status !== 'pending' || noWait) return view;
      await sleep(pendingPauseMs, undefined, { signal: stop.signal });
    }
  } catch (error) {
    if (stop.received() === null) throw error;
    if (!(error instanceof FlydError) && (error as Error).name !== 'AbortError') throw error;
    return engine.run(id);
  } finally {
    clearInterval(timer);
    lookedAt = 0;
    look();
    renderer?.finish();
    unsubscribe();
  }
}

/**
 * Waits for runs that are left to themselves: their parent was cancelled, and they are taking back what
 * they made. A process that ended before them would leave that undone until somebody resumes them.
 * Looks at this process's runs and at those of `ids`. What is stuck stays for a person.
 */
export async function windDown(
  engine: Engine,
  { ids = [], signal }: { ids?: readonly string[]; signal?: AbortSignal } = {},
): Promise<void> {
  const stuck = new Set<string>();
  for (;;) {
    const left = engine
      .runs({ live: true })
      .filter(({ id, owner }) => owner === engine.token || ids.includes(id))
      .find(({ id, parents }) => parents.length === 0 && !stuck.has(id));
    if (left === undefined) return;
    const view = await engine.wait(left.id, {
      until: 'settled',
      ...(signal === undefined ? {} : { signal }),
    });
    if (view.endedAt === null) stuck.add(view.id);
  }
}
