import type { ProgressEntry, RunSummary } from '../data/types.ts';

export interface Share {
  done: number;
  total: number | null;
  unit: 'bytes' | 'runs';
}

/** How far live runs are: bytes of their own effects, or how many of the runs below them have ended. */
export function sharesOf(
  entries: readonly ProgressEntry[],
  runs: ReadonlyMap<string, RunSummary>,
): Map<string, Share> {
  const shares = new Map<string, Share>();
  for (const { id, endedAt } of runs.values())
    for (const above of ancestorsOf(id, runs)) {
      const { done, total } = shares.get(above) ?? { done: 0, total: 0 };
      shares.set(above, {
        done: done + (endedAt === null ? 0 : 1),
        total: (total ?? 0) + 1,
        unit: 'runs',
      });
    }
  for (const { run, done, total, unit } of entries)
    if (unit !== 'entries') shares.set(run, { done, total, unit: 'bytes' });
  return shares;
}

function ancestorsOf(id: string, runs: ReadonlyMap<string, RunSummary>): Set<string> {
  const found = new Set(runs.get(id)?.parents);
  for (const each of found) for (const parent of runs.get(each)?.parents ?? []) found.add(parent);
  return found;
}
