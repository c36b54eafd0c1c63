import { openWorkbench } from './compose.ts';
import { exitCodes } from './exit.ts';
import { findRun } from './find-run.ts';
import { windDown } from './follow.ts';
import { withChildren } from './pull-document.ts';
import { reportPull } from './pull-report.ts';
import { type ResumeWishes, seeThrough } from './resume-work.ts';
import { outcomeDocument } from './run-document.ts';
import type { Session } from './session.ts';

/** `flyd runs cancel`: says it durably, and waits until its owner, or this process, has compensated. */
export async function cancelRun(session: Session, wanted: string, reason: string): Promise<number> {
  const bench = await openWorkbench(session);
  try {
    const run = findRun(bench.engine, wanted);
    const below = withChildren(bench.engine, run).map(({ id }) => id);
    await bench.engine.cancel(run.id, { reason });
    const view = await bench.engine.wait(run.id);
    await windDown(bench.engine, { ids: below });
    session.out.document(outcomeDocument(view));
    session.out.say(`run ${view.id} is ${view.status}`);
    // It may have come to its end just before: then there was nothing left to cancel.
    return view.status === 'cancelled' ? exitCodes.done : exitCodes.failed;
  } finally {
    await bench.close();
  }
}

/** `flyd runs retry`: from where it parked, children too. */
export async function retryRun(session: Session, wanted: string, wishes: ResumeWishes): Promise<number> {
  const bench = await openWorkbench(session);
  try {
    const run = findRun(bench.engine, wanted);
    await bench.engine.retry(run.id);
    if (run.machine === 'pull') return await reportPull(session, bench, run.id, { ...wishes, results: null });
    return await seeThrough(session, bench, run.id, wishes);
  } finally {
    await bench.close();
  }
}
