import type { ErrorRecord } from '#core/errors';
import { isTerminal, type RunStatus } from '#core/status';
import type { Engine } from '#engine/api';
import type { RunView } from '#engine/types';
import type { EngineWatch } from '#engine/watch';

/** A row of the table of runs. Times are milliseconds since 1970. */
export interface RunSummary {
  id: string;
  machine: string;
  version: number;
  key: string | null;
  /** What tells it from the others of its machine. */
  about: string;
  state: string;
  status: RunStatus;
  /** Failed attempts of the effects in flight. */
  attempts: number;
  /** The process that moves it; `dead`: nobody does, until somebody resumes it. */
  owner: 'none' | 'alive' | 'dead';
  error: Pick<ErrorRecord, 'code' | 'kind' | 'message' | 'hint' | 'op' | 'subject'> | null;
  nextAt: number | null;
  parents: string[];
  createdAt: number;
  updatedAt: number;
  endedAt: number | null;
}

/** Which runs a table shows. */
export interface RunQuery {
  machine: string | null;
  status: RunStatus[] | null;
  /** Only runs that nobody started from another one. */
  roots: boolean;
  /** Only live ones that do not go on as they should: parked, pending, retrying, or without an owner. */
  trouble: boolean;
  /** Every word must be somewhere in id, key, machine, state, error, input or output. */
  words: string[];
}

/** Not going on as it should, though it has not ended. */
export const isInTrouble = (run: RunSummary): boolean =>
  run.endedAt === null &&
  (run.status === 'parked' ||
    run.status === 'pending' ||
    run.attempts > 0 ||
    run.error !== null ||
    run.owner === 'dead');

export interface Summaries {
  /** The row of a run as it is now, and whether the query shows it. */
  get(uid: string, mark: string): { summary: RunSummary; shownBy(query: RunQuery): boolean };
  /** Rows of the query, the newest first, at most `limit`; `more` when there were others. */
  list(query: RunQuery, limit: number): { runs: RunSummary[]; more: boolean };
}

interface Cached {
  mark: string;
  summary: RunSummary;
  /** What words are searched in, in lower case. */
  text: string;
}

/** Runs that are looked at for one list, at most. */
const scannedMax = 20_000;
const textMax = 4_000;

/** Rows of runs, kept as long as nothing about a run changes. */
export function createSummaries({
  engine,
  watch,
  isAlive,
}: {
  engine: Engine;
  watch: EngineWatch;
  isAlive(token: string): boolean;
}): Summaries {
  const cache = new Map<string, Cached>();
  const cached = (uid: string, mark: string): Cached => {
    const known = cache.get(uid);
    if (known?.mark === mark) return refreshed(known);
    const view = engine.run(uid);
    const entry = { mark, summary: summaryOf(view, isAlive), text: textOf(view) };
    cache.set(uid, entry);
    if (cache.size > 2 * scannedMax) cache.delete(cache.keys().next().value as string);
    return entry;
  };
  /** A process may die without a word in the database. */
  const refreshed = (entry: Cached): Cached => {
    if (entry.summary.owner !== 'alive') return entry;
    const { owner } = engine.run(entry.summary.id);
    if (owner === null || !isAlive(owner)) entry.summary = { ...entry.summary, owner: 'dead' };
    return entry;
  };
  const shows = ({ summary, text }: Cached, query: RunQuery): boolean =>
    (query.machine === null || summary.machine === query.machine) &&
    (query.status === null || query.status.includes(summary.status)) &&
    (!query.roots || summary.parents.length === 0) &&
    (!query.trouble || isInTrouble(summary)) &&
    query.words.every((word) => text.includes(word.toLowerCase()));
  return {
    get(uid, mark) {
      const entry = cached(uid, mark);
      return { summary: entry.summary, shownBy: (query) => shows(entry, query) };
    },
    list(query, limit) {
      const marks = query.trouble
        ? watch.live().reverse()
        : watch.list({ machine: query.machine, status: query.status, limit: scannedMax });
      const runs: RunSummary[] = [];
      for (const { uid, mark } of marks) {
        const entry = cached(uid, mark);
        if (!shows(entry, query)) continue;
        if (runs.length === limit) return { runs, more: true };
        runs.push(entry.summary);
      }
      return { runs, more: false };
    },
  };
}

export function summaryOf(view: RunView, isAlive: (token: string) => boolean): RunSummary {
  const { error } = view;
  const owner = view.owner === null ? 'none' : isAlive(view.owner) ? 'alive' : 'dead';
  return {
    id: view.id,
    machine: view.machine,
    version: view.version,
    key: view.key,
    about: aboutOf(view),
    state: view.state,
    status: view.status,
    attempts: view.attempts,
    owner: isTerminal(view.status) ? 'none' : owner,
    error:
      error === null
        ? null
        : {
            code: error.code,
            kind: error.kind,
            message: error.message,
            ...(error.hint === undefined ? {} : { hint: error.hint }),
            ...(error.op === undefined ? {} : { op: error.op }),
            ...(error.subject === undefined ? {} : { subject: error.subject }),
          },
    nextAt: view.nextAt,
    parents: view.parents,
    createdAt: view.createdAt,
    updatedAt: view.updatedAt,
    endedAt: view.endedAt,
  };
}

/** The first text in its input that reads like a name. */
function aboutOf({ input, key }: RunView): string {
  const given = (typeof input === 'object' && input !== null ? input : {}) as Record<string, unknown>;
  const layer = given.layer as { key?: unknown } | undefined;
  for (const word of [given.family, layer?.key, given.name, given.image, given.id])
    if (typeof word === 'string') return word;
  return key ?? '';
}

function textOf(view: RunView): string {
  const { id, key, machine, state, status, error, input, output } = view;
  return [id, key, machine, state, status, error?.code, error?.message, short(input), short(output)]
    .join('\n')
    .toLowerCase();
}

const short = (value: unknown): string => (JSON.stringify(value) ?? '').slice(0, textMax);
