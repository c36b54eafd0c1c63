import type { RunView } from '#engine/types';
import { openWorkbench, type Workbench } from './compose.ts';
import { exitCodes } from './exit.ts';
import { findRun } from './find-run.ts';
import { windDown } from './follow.ts';
import { withChildren } from './pull-document.ts';
import { reportPull } from './pull-report.ts';
import { type ResumeWishes, seeThrough } from './resume-work.ts';
import { outcomeDocument, runDocument } from './run-document.ts';
import type { Session } from './session.ts';
import { watchSignals } from './signals.ts';

/** `flyd runs cancel`: says it durably, and waits until its owner, or this process, has compensated. */
export async function cancelRun(session: Session, wanted: string, reason: string): Promise<number> {
  const bench = await openWorkbench(session, { freesRoom: true });
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

/** `flyd runs retry`: from where it parked or failed, or from an earlier step; children too. */
export async function retryRun(
  session: Session,
  wanted: string,
  { from, ...wishes }: ResumeWishes & { from?: number },
): Promise<number> {
  return moving(session, wanted, async (bench, run) => {
    await bench.engine.retry(run.id, from === undefined ? {} : { from });
    return seeRun(session, bench, run, wishes);
  });
}

/** `flyd runs fork`. */
export async function forkRun(
  session: Session,
  wanted: string,
  { at, key, ...wishes }: ResumeWishes & { at: number; key?: string },
): Promise<number> {
  return moving(session, wanted, async (bench, run) => {
    const fork = await bench.engine.fork(run.id, { seq: at, ...(key === undefined ? {} : { key }) });
    session.out.note(`run ${fork.id} is a copy of ${run.id} as it was after step ${at}`);
    return seeRun(session, bench, bench.engine.run(fork.id), wishes);
  });
}

/** `flyd runs wait`. */
export async function waitForRun(
  session: Session,
  wanted: string,
  { tags, ...wishes }: ResumeWishes & { tags: readonly string[] },
): Promise<number> {
  return moving(session, wanted, async (bench, run) => {
    if (tags.length === 0) return seeRun(session, bench, run, wishes);
    const { out } = session;
    const stop = watchSignals((signal) => out.note(`${signal}: stopping; again to stop at once`));
    try {
      const view = await bench.engine.waitFor(run.id, tags, { signal: stop.signal });
      out.document(runDocument(view));
      out.say(`${view.id}  ${view.machine}  ${view.state}  ${view.tags.join(' ')}`);
      return exitCodes.done;
    } finally {
      stop.dispose();
    }
  });
}

/** `flyd runs send`. */
export async function sendToRun(
  session: Session,
  wanted: string,
  { event, dedupe }: { event: { type: string }; dedupe: string | undefined },
): Promise<number> {
  return moving(session, wanted, async ({ engine }, run) => {
    const answer = await engine.send(run.id, event, dedupe === undefined ? {} : { dedupe });
    session.out.document({ run: run.id, event: event.type, answer });
    session.out.say(answer === 'accepted' ? `run ${run.id} has '${event.type}'` : 'it was given that before');
    if (run.owner === null && run.endedAt === null)
      session.out.note(`nobody carries it on: flyd resume ${run.id}${session.stateFlag}`);
    return exitCodes.done;
  });
}

async function moving(
  session: Session,
  wanted: string,
  work: (bench: Workbench, run: RunView) => Promise<number>,
): Promise<number> {
  const bench = await openWorkbench(session);
  try {
    return await work(bench, findRun(bench.engine, wanted));
  } finally {
    await bench.close();
  }
}

const seeRun = (
  session: Session,
  bench: Workbench,
  { id, machine }: RunView,
  wishes: ResumeWishes,
): Promise<number> =>
  machine === 'pull'
    ? reportPull(session, bench, id, { ...wishes, results: null })
    : seeThrough(session, bench, id, wishes);
