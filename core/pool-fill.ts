/** How full a thin pool is, and from where on that is worth a word. */

/** The setting `warnAt`. Percent, from 1 to 100. */
export interface WarnAt {
  data: number;
  metadata: number;
}

export const defaultWarnAt: WarnAt = { data: 80, metadata: 80 };

/** Beyond this there is little time left. Percent. */
const urgentFrom = 95;

/** What makes room in a pool, in words: the next step for whoever is told that it is full. */
export const makeRoom =
  'flyd gc --max-bytes SIZE, flyd deactivate, flyd rm, or a larger pool (flyd doctor --fix --help)';

/** One of the two things that a pool can run out of. Any one unit. */
export interface PoolFill {
  what: string;
  free: number;
  total: number;
}

export interface FillVerdict {
  level: 'low' | 'warn' | 'urgent' | 'full';
  /** Whole, rounded down: 100 is really full. */
  percent: number;
}

/** Judges one fill; `what` says which threshold counts. */
export function judgeFill({ what, free, total }: PoolFill, warnAt: WarnAt): FillVerdict {
  const percent = Math.floor((100 * (total - free)) / Math.max(1, total));
  const mark = what === 'pool metadata' ? warnAt.metadata : warnAt.data;
  if (free <= 0) return { level: 'full', percent };
  if (percent < mark) return { level: 'low', percent };
  return { level: percent >= urgentFrom ? 'urgent' : 'warn', percent };
}

/** A warning that a command gives with its result: scripts get it whole. */
export interface NearlyFull {
  what: string;
  percent: number;
  freeBytes: number;
  fix: string;
}

/** What of these is beyond its threshold; `free` and `total` in bytes. Rows of anything but a pool are passed over. */
export const nearlyFull = (rows: readonly PoolFill[], warnAt: WarnAt): NearlyFull[] =>
  rows
    .filter(({ what }) => what === 'pool data' || what === 'pool metadata')
    .flatMap((row) => {
      const { level, percent } = judgeFill(row, warnAt);
      return level === 'low' ? [] : [{ what: row.what, percent, freeBytes: row.free, fix: makeRoom }];
    });
