import type { RunStatus } from '#core/status';
import type { HistoryRow, Hold, RunView } from '#engine/types';
import { exitCodes } from './exit.ts';
import { findRun } from './find-run.ts';
import { engineToLook } from './onlooker.ts';
import { errorLines, table, timeText } from './output.ts';
import { openReading } from './reading.ts';
import { eventDocument, runDetails, runDocument } from './run-document.ts';
import { branchesOf, treeLines } from './run-tree.ts';
import type { Session } from './session.ts';

export interface RunsWanted {
  live?: true;
  status?: RunStatus;
  machine?: string;
}

/** `flyd runs list`. */
export async function listRuns(session: Session, wanted: RunsWanted): Promise<number> {
  const { out } = session;
  return openReading(session, (db) => {
    const engine = engineToLook(db);
    const runs = engine.runs({
      ...(wanted.live === true ? { live: true } : {}),
      ...(wanted.status === undefined ? {} : { status: [wanted.status] }),
      ...(wanted.machine === undefined ? {} : { machine: wanted.machine }),
    });
    out.array(textsOf(runs));
    if (runs.length === 0) out.say('no runs');
    else out.sayAll(table(header, runs.map(rowOf)));
    return exitCodes.done;
  });
}

function* textsOf(runs: readonly RunView[]): Iterable<string> {
  for (const run of runs) yield JSON.stringify(runDocument(run));
}

const header = ['RUN', 'MACHINE', 'STATUS', 'STATE', 'UPDATED', 'ABOUT'];

const rowOf = (run: RunView): string[] => [
  run.id,
  run.machine,
  run.status,
  run.state,
  timeText(run.updatedAt),
  run.error?.message ?? (waitingText(run, Date.now()) || aboutOf(run)),
];

/** What a run waits for that has not begun, and since when; empty for one that has. */
export function waitingText(
  { waitsFor, createdAt }: Pick<RunView, 'waitsFor' | 'createdAt'>,
  now: number,
): string {
  // A time that has come, while something else has not, is no reason.
  const reasons = waitsFor.filter((hold) => hold.for !== 'time' || hold.until > now).map(reasonOf);
  return reasons.length === 0 ? '' : `waits since ${timeText(createdAt)} ${reasons.join(' and ')}`;
}

function reasonOf(hold: Hold): string {
  switch (hold.for) {
    case 'time':
      return `until ${timeText(hold.until)}`;
    case 'run':
      return `for run ${hold.run} to be ${hold.when}`;
    case 'key':
      return `for run ${hold.run}, which it replaces, to end`;
    case 'queue':
      return `for a place in queue ${hold.queue}`;
  }
}

/** The one word of its input that tells it from the others of its machine. */
function aboutOf({ input }: RunView): string {
  const given = (typeof input === 'object' && input !== null ? input : {}) as Record<string, unknown>;
  const layer = given.layer as { key?: unknown } | undefined;
  for (const word of [given.family, layer?.key, given.image, given.id])
    if (typeof word === 'string') return word;
  return '';
}

/** `flyd runs show`. */
export async function showRun(session: Session, id: string): Promise<number> {
  const { out } = session;
  return openReading(session, (db) => {
    const engine = engineToLook(db);
    const run = findRun(engine, id);
    const children = engine.children(run.id);
    out.document(runDetails(run, children));
    out.say(`${run.id}  ${run.machine} v${run.version}  ${run.status} in ${run.state}`);
    out.say(`  created  ${timeText(run.createdAt)}`);
    out.say(`  updated  ${timeText(run.updatedAt)}`);
    if (run.owner !== null) out.say(`  owner    ${run.owner}`);
    const waiting = waitingText(run, Date.now());
    if (waiting !== '') out.say(`  begins   ${waiting}`);
    if (run.continuedAs !== null) out.say(`  goes on  in run ${run.continuedAs}`);
    if (run.nextAt !== null) out.say(`  due      ${timeText(run.nextAt)}`);
    out.say(`  input    ${JSON.stringify(run.input)}`);
    if (run.output !== null) out.say(`  output   ${JSON.stringify(run.output)}`);
    for (const line of run.error === null ? [] : errorLines(run.error)) out.say(`  ${line}`);
    for (const line of treeLines(branchesOf(engine, run, Date.now()))) out.say(`  ${line}`);
    return exitCodes.done;
  });
}

/** `flyd runs events`. */
export async function showEvents(session: Session, id: string): Promise<number> {
  const { out } = session;
  return openReading(session, (db) => {
    const engine = engineToLook(db);
    const rows = engine.history(findRun(engine, id).id);
    out.document(rows.map(eventDocument));
    out.sayAll(table(['SEQ', 'AT', 'EVENT', 'FROM', 'TO', 'MS', 'STARTED'], rows.map(eventRow)));
    return exitCodes.done;
  });
}

const eventRow = ({ seq, at, event, from, to, effects, ms, error }: HistoryRow): string[] => [
  String(seq),
  timeText(at),
  event,
  from ?? '',
  to,
  ms === null ? '' : ms.toFixed(ms < 10 ? 1 : 0),
  error === null ? effects.join(' ') : `${error.code}: ${error.message}`,
];
