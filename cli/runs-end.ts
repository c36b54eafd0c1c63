import { FlydError, unrecoverable } from '#core/errors';
import type { Engine } from '#engine/api';
import { openWorkbench } from './compose.ts';
import { exitCodes } from './exit.ts';
import { findRun } from './find-run.ts';
import { windDown } from './follow.ts';
import { withChildren } from './pull-document.ts';
import { outcomeDocument } from './run-document.ts';
import type { Session } from './session.ts';

/** `flyd runs kill`: says it durably, and waits until nothing of the run moves any more. */
export async function killRun(session: Session, wanted: string, reason: string): Promise<number> {
  const bench = await openWorkbench(session, { freesRoom: true });
  try {
    const run = findRun(bench.engine, wanted);
    const below = withChildren(bench.engine, run).map(({ id }) => id);
    await bench.engine.kill(run.id, { reason });
    const view = await bench.engine.wait(run.id);
    await windDown(bench.engine, { ids: below });
    session.out.document(outcomeDocument(view));
    session.out.say(`run ${view.id} is ${view.status}; what it made is left: see \`flyd gc\``);
    // It may have come to its end just before: then there was nothing left to kill.
    return view.status === 'cancelled' ? exitCodes.done : exitCodes.failed;
  } finally {
    await bench.close();
  }
}

const dayMs = 24 * 3600_000;

export interface PurgeWanted {
  runs: string[];
  /** Days. */
  endedFor?: number;
}

/** `flyd runs purge`: these runs, or those that ended long ago, with the runs below them that nobody else has. */
export async function purgeRuns(session: Session, { runs, endedFor }: PurgeWanted): Promise<number> {
  if ((runs.length === 0) === (endedFor === undefined))
    throw unrecoverable('usage', 'either runs or --ended-for must be given', {
      hint: 'as in: flyd runs purge 01JD..., or: flyd runs purge --ended-for 30',
    });
  const bench = await openWorkbench(session, { freesRoom: true });
  try {
    const { engine } = bench;
    const purged: string[] = [];
    for (const run of runs) purged.push(...(await purgeTree(engine, findRun(engine, run).id)));
    if (endedFor !== undefined)
      for (const { id, endedAt } of engine.runs({ live: false }))
        if (endedAt !== null && endedAt < Date.now() - endedFor * dayMs)
          purged.push(...(await purgeTree(engine, id).catch(unlessNeeded)));
    session.out.document({ purged });
    session.out.say(purged.length === 1 ? '1 run deleted' : `${purged.length} runs deleted`);
    return exitCodes.done;
  } finally {
    await bench.close();
  }
}

async function purgeTree(engine: Engine, id: string): Promise<string[]> {
  const below = engine.children(id).map(({ run }) => run.id);
  await engine.purge(id);
  const purged = [id];
  for (const child of below)
    if (engine.runs({ id: child })[0]?.parents.length === 0)
      purged.push(...(await purgeTree(engine, child).catch(unlessNeeded)));
  return purged;
}

/** A run that is live, a live run's child, or gone with another one, is none to be deleted. */
function unlessNeeded(thrown: unknown): string[] {
  const code = thrown instanceof FlydError ? thrown.code : '';
  if (code !== 'run_in_use' && code !== 'run_not_found') throw thrown;
  return [];
}
