import { type ErrorRecord, toErrorRecord } from '#core/errors';
import type { RunView } from '#engine/types';
import type { RestoreReport } from '#machines/restore';
import { openWorkbench, type Workbench } from './compose.ts';
import { exitCodes, exitOfSignal, exitOfStatus } from './exit.ts';
import { findRun } from './find-run.ts';
import { follow } from './follow.ts';
import { errorLines } from './output.ts';
import { createPoolWarner } from './pool-warnings.ts';
import { type PullRemarks, pullDocument } from './pull-document.ts';
import { reportPull } from './pull-report.ts';
import { sayRestored, startRestore } from './restore.ts';
import { outcomeDocument } from './run-document.ts';
import type { Session } from './session.ts';
import { type Stop, watchSignals } from './signals.ts';

export interface ResumeWishes {
  noWait: boolean;
}

/** Carries on one run, or all that nobody carries on. Gives the exit code. */
export async function resume(
  session: Session,
  wanted: string | undefined,
  wishes: ResumeWishes,
): Promise<number> {
  const bench = await openWorkbench(session);
  try {
    if (wanted === undefined) return await resumeAll(session, bench, wishes);
    const run = findRun(bench.engine, wanted);
    if (run.endedAt === null) await bench.engine.resume({ id: run.id });
    if (run.machine === 'pull') return await reportPull(session, bench, run.id, { ...wishes, results: null });
    return await seeThrough(session, bench, run.id, wishes);
  } finally {
    await bench.close();
  }
}

async function resumeAll(session: Session, bench: Workbench, { noWait }: ResumeWishes): Promise<number> {
  const { out, stateFlag } = session;
  const { engine } = bench;
  const stop = watchSignals((signal) => out.note(`${signal}: stopping; again to stop at once`));
  try {
    const taken = await engine.resume();
    const restore = await startRestore(bench);
    const ids = restore === null || taken.includes(restore) ? taken : [...taken, restore];
    if (ids.length === 0) out.say('nothing to resume: no run is without an owner, and all is mounted');
    const views = await Promise.all(
      ids.map((id) => follow(engine, id, { out, stop, noWait, progress: ids.length === 1 && !out.json })),
    );
    const trouble = await stopped(bench, stop);
    const documents: unknown[] = [];
    const warn = createPoolWarner(session, bench);
    for (const view of views) {
      const nearlyFull = trouble === undefined ? await warn(view) : [];
      documents.push(documentOf(bench, view, { trouble, nearlyFull }));
    }
    out.document(documents);
    for (const view of views) {
      out.say(outcomeLine(engine.run(view.id)));
      const report = restored(view);
      if (report !== null) sayRestored(report, out);
    }
    if (trouble !== undefined) out.note(`what is not done stays resumable: flyd resume${stateFlag}`);
    const signal = stop.received();
    return signal === null ? worstExit(views) : exitOfSignal(signal);
  } finally {
    stop.dispose();
  }
}

/** Follows any run and says what came of it. Gives the exit code. */
export async function seeThrough(
  session: Session,
  bench: Workbench,
  id: string,
  { noWait }: ResumeWishes,
  tell: (view: RunView) => void = (view) => session.out.say(outcomeLine(view)),
): Promise<number> {
  const { out, stateFlag } = session;
  const stop = watchSignals((signal) => out.note(`${signal}: stopping; again to stop at once`));
  try {
    await follow(bench.engine, id, { out, stop, noWait, progress: false });
    const trouble = await stopped(bench, stop);
    const view = bench.engine.run(id);
    const nearlyFull = trouble === undefined ? await createPoolWarner(session, bench)(view) : [];
    out.document(documentOf(bench, view, { trouble, nearlyFull }));
    if (view.status === 'done') tell(view);
    else if (view.error !== null && !out.json) for (const line of errorLines(view.error)) out.note(line);
    if (view.endedAt === null) out.note(`run ${id} stays resumable: flyd resume ${id}${stateFlag}`);
    const signal = stop.received();
    return signal === null || view.endedAt !== null ? exitOfStatus(view.status) : exitOfSignal(signal);
  } finally {
    stop.dispose();
  }
}

/** When this process was asked to stop: lets the runs go, and says why. */
async function stopped({ engine }: Workbench, stop: Stop): Promise<ErrorRecord | undefined> {
  if (stop.received() === null) return undefined;
  await engine.close();
  return toErrorRecord(stop.signal.reason);
}

const documentOf = ({ engine }: Workbench, view: RunView, remarks: PullRemarks) => {
  if (view.machine === 'pull') return pullDocument(engine, view, remarks);
  const document = outcomeDocument(view);
  return view.machine === 'activate' ? { ...document, nearlyFull: remarks.nearlyFull ?? [] } : document;
};

/** The report of a restoration; null for any other run, and for one that is not done. */
const restored = ({ machine, status, output }: RunView): RestoreReport | null =>
  machine === 'restore' && status === 'done' ? (output as unknown as RestoreReport) : null;

const outcomeLine = (view: RunView): string => `${view.id}  ${view.machine}  ${view.status}`;

/** Of several runs the one that went worst: failed, then cancelled, then pending. */
function worstExit(views: readonly RunView[]): number {
  const codes = views.map((view) =>
    (restored(view)?.failed.length ?? 0) > 0 ? exitCodes.failed : exitOfStatus(view.status),
  );
  const order = [exitCodes.failed, exitCodes.cancelled, exitCodes.pending];
  return order.find((code) => codes.includes(code)) ?? exitCodes.done;
}
