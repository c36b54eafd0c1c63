import { isDeepStrictEqual } from 'node:util';
import type { ActivationOptions } from '#core/image';
import type { PullInput } from '#machines/pull';
import { openWorkbench, type Workbench } from './compose.ts';
import { type ReportWishes, reportPull } from './pull-report.ts';
import type { Session } from './session.ts';
import type { Wanted } from './wanted.ts';

export interface PullRequest extends Wanted {
  lockFile: string | null;
  activation: ActivationOptions | null;
}

/** Adopts or starts the pull and sees it through. Gives the exit code. */
export async function pull(session: Session, request: PullRequest, wishes: ReportWishes): Promise<number> {
  const bench = await openWorkbench(session);
  try {
    const choice = await bench.drivers.choose(session.settings.driver);
    session.out.note(`driver ${choice.driver.name}: ${choice.reason}`);
    for (const warning of choice.warnings) session.out.note(`warning: ${warning}`);
    // Only this command knows of --pool-data and the like: the pool is recorded before a run counts on it.
    await choice.driver.ready();
    const input: PullInput = { ...request, driver: choice.driver.name };
    const id = (await adopt(bench, input)) ?? (await bench.engine.start(bench.machines.pull, { input })).id;
    return await reportPull(session, bench, id, wishes);
  } finally {
    await bench.close();
  }
}

/** A pull of the same request that nobody carries on: it is taken over; one that is parked tries again. */
async function adopt({ engine }: Workbench, input: PullInput): Promise<string | null> {
  for (const run of engine.runs({ machine: 'pull', live: true })) {
    if (!isDeepStrictEqual(run.input, input)) continue;
    const taken = await engine.resume({ id: run.id });
    if (!taken.includes(run.id)) continue; // its owner lives; children of it that had lost theirs are ours now
    if (run.status === 'parked') await engine.retry(run.id);
    return run.id;
  }
  return null;
}
