/** Chance that can be repeated: the same seed gives the same choices. */
export interface Random {
  /** From 0 to 1, without 1. */
  next(): number;
  /** A whole number from 0, below `below`. */
  int(below: number): number;
  chance(probability: number): boolean;
  /** One of the items; throws when there is none. */
  pick<T>(items: readonly T[]): T;
}

/** Chance from a seed (mulberry32: 32 bits of state, enough for choosing, not for secrets). */
export function seeded(seed: number): Random {
  // Neighbouring seeds would begin alike: spread them first (the finaliser of MurmurHash3).
  let state = Math.imul(seed ^ (seed >>> 16), 0x85ebca6b) ^ 0x9e3779b9;
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (below: number): number => Math.floor(next() * below);
  return {
    next,
    int,
    chance: (probability) => next() < probability,
    pick<T>(items: readonly T[]): T {
      if (items.length === 0) throw new RangeError('nothing to pick from');
      return items[int(items.length)] as T;
    },
  };
}
