import type { Commit } from '#engine/watch';
import type { ProgressEntry } from '#infra/progress-board';
import type { DashboardParts } from './parts.ts';
import type { RunQuery, RunSummary, Summaries } from './summary.ts';

/** What happened between two looks at the database. */
export interface News {
  /** The history up to here is told with this. */
  cursor: number;
  commits: Commit[];
  /** Rows of runs that changed. */
  runs: { summary: RunSummary; shownBy(query: RunQuery): boolean }[];
  /** How far effects are, when that changed. */
  progress: ProgressEntry[] | null;
}

export interface Hub {
  /** The newest commit that listeners were told of. */
  readonly cursor: number;
  readonly progress: ProgressEntry[];
  /** `run` is called after each look that found something. Gives the way to stop. */
  listen(hear: (news: News) => void): () => void;
  close(): void;
}

const lookEveryMs = 200;
const commitsMax = 1000;
/** A look may take so much of the time, on a host with very many live runs. */
const shareMax = 0.2;
/** Owners die without a word in the database. */
const ownersEveryMs = 2_000;

/** One look at the database for all who watch. Looks only while somebody listens. */
export function createHub(parts: DashboardParts, summaries: Summaries): Hub {
  const { watch, now } = parts;
  const listeners = new Set<(news: News) => void>();
  let marks = new Map<string, string>();
  let cursor = watch.cursor();
  let version = -1;
  let ownersAt = 0;
  let progress: ProgressEntry[] = [];
  let progressText = '';
  let timer: NodeJS.Timeout | null = null;

  const look = (): void => {
    const started = performance.now();
    const news = lookNow();
    if (news !== null) for (const hear of listeners) hear(news);
    const took = performance.now() - started;
    timer = listeners.size === 0 ? null : setTimeout(look, Math.max(lookEveryMs, took / shareMax));
  };

  function lookNow(): News | null {
    const moved = readProgress();
    const seen = watch.version();
    const ownersDue = now() - ownersAt > ownersEveryMs;
    if (seen === version && !ownersDue) return moved ? { cursor, commits: [], runs: [], progress } : null;
    version = seen;
    if (ownersDue) ownersAt = now();
    const commits = watch.after(cursor, commitsMax);
    if (commits.length === commitsMax) version = -1; // there may be more: look again
    cursor = commits.at(-1)?.id ?? cursor;
    const changed = changedRuns(commits, ownersDue);
    if (commits.length === 0 && changed.length === 0 && !moved) return null;
    return { cursor, commits, runs: changed, progress: moved ? progress : null };
  }

  /** Live runs whose mark is new, and those that have ended since. */
  function changedRuns(commits: readonly Commit[], ownersDue: boolean): News['runs'] {
    const live = watch.live();
    const next = new Map(live.map(({ uid, mark }) => [uid, mark]));
    const touched = new Set(commits.map(({ run }) => run));
    for (const [uid, mark] of next) if (marks.get(uid) !== mark) touched.add(uid);
    for (const uid of marks.keys()) if (!next.has(uid)) touched.add(uid);
    const before = ownersDue ? new Map(live.map(({ uid, mark }) => [uid, summaries.get(uid, mark)])) : null;
    marks = next;
    const orphaned = [...(before ?? [])].filter(
      ([uid, { summary }]) => !touched.has(uid) && summary.owner === 'dead' && !toldDead.has(uid),
    );
    for (const [uid] of orphaned) touched.add(uid);
    const found = watch.marks([...touched]).map(({ uid, mark }) => summaries.get(uid, mark));
    for (const { summary } of found)
      if (summary.owner === 'dead') toldDead.add(summary.id);
      else toldDead.delete(summary.id);
    return found;
  }
  const toldDead = new Set<string>();

  function readProgress(): boolean {
    progress = parts.progress();
    const text = JSON.stringify(progress);
    if (text === progressText) return false;
    progressText = text;
    return true;
  }

  return {
    get cursor() {
      return cursor;
    },
    get progress() {
      return progress;
    },
    listen(hear) {
      if (listeners.size === 0) {
        // Nobody heard of what happened meanwhile: a listener asks the history for what it missed.
        cursor = watch.cursor();
        marks = new Map(watch.live().map(({ uid, mark }) => [uid, mark]));
        timer ??= setTimeout(look, lookEveryMs);
      }
      listeners.add(hear);
      return () => {
        listeners.delete(hear);
      };
    },
    close() {
      if (timer !== null) clearTimeout(timer);
      timer = null;
      listeners.clear();
    },
  };
}
