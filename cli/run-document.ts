import type { HistoryRow, Json, RunView } from '#engine/types';
import { errorDocument, timeText } from './output.ts';

/** One entry of `flyd runs --json`. */
export const runDocument = (run: RunView) => ({
  id: run.id,
  machine: run.machine,
  version: run.version,
  key: run.key,
  state: run.state,
  tags: run.tags,
  status: run.status,
  attempts: run.attempts,
  owner: run.owner,
  createdAt: timeText(run.createdAt),
  updatedAt: timeText(run.updatedAt),
  endedAt: run.endedAt === null ? null : timeText(run.endedAt),
  nextAt: run.nextAt === null ? null : timeText(run.nextAt),
  queue: run.queue,
  priority: run.priority,
  waitsFor: run.waitsFor.map((hold) =>
    hold.for === 'time' ? { ...hold, until: timeText(hold.until) } : hold,
  ),
  continuedAs: run.continuedAs,
  labels: run.labels,
  parents: run.parents,
  forkedFrom: run.forkedFrom,
  ...(run.error === null ? {} : { error: errorDocument(run.error) }),
});

/** `flyd runs show --json`: with what went in, what came out, and the runs below it. */
export const runDetails = (run: RunView, children: readonly { childId: string; run: RunView }[]) => ({
  ...runDocument(run),
  input: run.input,
  output: run.output as Json,
  children: children.map(({ childId, run: child }) => ({ childId, ...runDocument(child) })),
});

/** One entry of `flyd runs events --json`. */
export const eventDocument = ({ seq, at, event, from, to, effects, ms, error }: HistoryRow) => ({
  seq,
  at: timeText(at),
  event,
  from,
  to,
  effects,
  ms,
  ...(error === null ? {} : { error: errorDocument(error) }),
});

/** What `resume`, `cancel`, `retry` and the commands that are runs of their own print: what became of it. */
export const outcomeDocument = (run: RunView) => ({
  run: run.id,
  machine: run.machine,
  status: run.status,
  output: run.status === 'done' ? run.output : null,
  ...(run.status === 'done' || run.error === null ? {} : { error: errorDocument(run.error) }),
});
