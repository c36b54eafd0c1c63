import type { ProgressEntry, RunSummary } from '../data/types.ts';

export interface Share {
  done: number;
  total: number | null;
}

/** How far each run is: its own effects and those of the runs below it, in bytes. */
export function sharesOf(
  entries: readonly ProgressEntry[],
  parentsOf: (run: string) => readonly string[],
): Map<string, Share> {
  const shares = new Map<string, Share>();
  for (const { run, done, total, unit } of entries) {
    if (unit === 'entries') continue;
    const above = new Set([run]);
    for (const each of above) for (const parent of parentsOf(each)) above.add(parent);
    for (const each of above) {
      const share = shares.get(each) ?? { done: 0, total: 0 };
      shares.set(each, {
        done: share.done + done,
        total: share.total === null || total === null ? null : share.total + total,
      });
    }
  }
  return shares;
}

export const parentsIn =
  (runs: ReadonlyMap<string, RunSummary>) =>
  (run: string): readonly string[] =>
    runs.get(run)?.parents ?? [];
