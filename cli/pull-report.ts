import { type ErrorRecord, toErrorRecord } from '#core/errors';
import type { RunView } from '#engine/types';
import { writeDurably } from '#infra/durable';
import type { Workbench } from './compose.ts';
import { exitOfSignal, exitOfStatus } from './exit.ts';
import { follow } from './follow.ts';
import { errorLines } from './output.ts';
import { createPoolWarner } from './pool-warnings.ts';
import { type PullDocument, pullDocument } from './pull-document.ts';
import type { Session } from './session.ts';
import { watchSignals } from './signals.ts';
import { summarise } from './summary.ts';

export interface ReportWishes {
  noWait: boolean;
  /** Absolute path of the results file. */
  results: string | null;
}

/** Follows a `pull` run and says what came of it, everywhere where that is wanted. Gives the exit code. */
export async function reportPull(
  session: Session,
  bench: Workbench,
  id: string,
  { noWait, results }: ReportWishes,
): Promise<number> {
  const { out } = session;
  const stop = watchSignals((signal) => out.note(`${signal}: stopping; again to stop at once`));
  try {
    const progress = !out.json;
    let view = await follow(bench.engine, id, { out, stop, noWait, progress });
    const signal = stop.received();
    let trouble: ErrorRecord | undefined;
    if (signal !== null) {
      await bench.engine.close();
      view = bench.engine.run(id);
      trouble = toErrorRecord(stop.signal.reason);
    }
    const nearlyFull = signal === null ? await createPoolWarner(session, bench)(view) : [];
    const document = pullDocument(bench.engine, view, { trouble, nearlyFull });
    if (results !== null) await writeDurably(results, `${JSON.stringify(document, null, 2)}\n`, 0o644);
    out.document(document);
    if (!out.json) tell(session, view, document);
    return signal === null || view.endedAt !== null ? exitOfStatus(view.status) : exitOfSignal(signal);
  } finally {
    stop.dispose();
  }
}

function tell({ out, stateFlag, isRoot }: Session, view: RunView, document: PullDocument): void {
  if (view.status === 'done') summarise(document, out, { stateFlag, isRoot });
  else {
    if (view.error !== null) for (const line of errorLines(view.error)) out.note(line);
    out.note(nextStep(view, stateFlag));
  }
}

function nextStep({ id, status }: RunView, stateFlag: string): string {
  switch (status) {
    case 'failed':
      return `run ${id} failed; what it did: flyd runs events ${id}${stateFlag}`;
    case 'cancelled':
      return `run ${id} was cancelled`;
    case 'parked':
      return `run ${id} is parked; when the cause is mended: flyd runs retry ${id}${stateFlag}`;
    default:
      return `run ${id} stays resumable: flyd resume ${id}${stateFlag}`;
  }
}
