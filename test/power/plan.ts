import { mulberry32 } from '../crash/seed.ts';
import type { Moment } from './log-writes.ts';

/** A cut of the power: at which moment of the recording, and which part of what was under way stays. */
export interface Cut {
  moment: number;
  /** Null: nothing of it. */
  seed: number | null;
}

/** Pieces of writes under way that stayed, of how many; each a whole write, or 4 KiB of one. */
export interface Torn {
  kept: number;
  of: number;
  whole: boolean;
}

export interface Verdict extends Cut {
  /** The operation that was under way. */
  step: string;
  torn: Torn;
  /** Marks that were set by then. */
  marks: number;
  ms: number;
  /** Empty: it came back whole. */
  problems: string[];
}

/** `417` or `417:3298602983`: as `--only` takes it. */
export const keyOf = ({ moment, seed }: Cut): string => (seed === null ? `${moment}` : `${moment}:${seed}`);

/** Which cuts to make, as text of a command line; `shard` 2/3 is the second of three equal parts. */
export interface CutWishes {
  count: string;
  seed: string;
  shard: string;
  only?: string | undefined;
}

/** The cuts that are wished for, in rising order of their moments. */
export function chosenCuts(moments: readonly Moment[], { count, seed, shard, only }: CutWishes): Cut[] {
  if (only !== undefined) {
    const [moment = '', torn] = only.split(':');
    return [{ moment: Number(moment), seed: torn === undefined ? null : Number(torn) }];
  }
  const [part = 1, of = 1] = shard.split('/').map(Number);
  return planCuts(moments, Number(count), Number(seed))
    .filter((_, index) => index % of === part - 1)
    .sort((a, b) => a.moment - b.moment);
}

/**
 * So many different cuts: each moment once with nothing of what was under way, or a sample of them when
 * the count is small; the rest (a small count: half) with seeded parts.
 */
export function planCuts(moments: readonly Moment[], count: number, seed: number): Cut[] {
  const next = mulberry32(seed);
  const below = (limit: number): number => Math.floor(next() * limit);
  const bare = count > moments.length ? moments.length : Math.ceil(count / 2);
  const left = [...moments.keys()];
  const cuts: Cut[] = [];
  while (cuts.length < bare)
    cuts.push(...left.splice(below(left.length), 1).map((moment) => ({ moment, seed: null })));
  const busy = [...moments.entries()].filter(([, { durable, until }]) => until > durable).map(([at]) => at);
  while (cuts.length < count && busy.length > 0)
    cuts.push({ moment: busy[below(busy.length)] ?? 0, seed: below(2 ** 32) });
  return cuts;
}
