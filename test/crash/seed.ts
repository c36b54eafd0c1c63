import type { TestContext } from 'node:test';

/** Choices that can be made again: FLYD_TEST_SEED repeats those of a run that printed its seed. */
export interface Chance {
  /** One of them. */
  pick<T>(items: readonly T[]): T;
  /** So many of them, each at most once. */
  sample<T>(items: readonly T[], count: number): T[];
  /** Deals them like cards: each once, in a random order, and then anew. */
  deck<T>(items: readonly T[]): () => T;
}

/** Tells the seed, so that a failure can be looked at twice. */
export function seeded(t: TestContext): Chance {
  const seed = Number(process.env.FLYD_TEST_SEED ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`${t.name}: FLYD_TEST_SEED=${seed}`);
  const next = mulberry32(seed);
  const pick = <T>(items: readonly T[]): T => {
    if (items.length === 0) throw new Error('nothing to choose from');
    return items[Math.floor(next() * items.length)] as T;
  };
  const take = <T>(left: T[]): T => left.splice(left.indexOf(pick(left)), 1)[0] as T;
  return {
    pick,
    sample(items, count) {
      const left = [...items];
      return Array.from({ length: Math.min(count, left.length) }, () => take(left));
    },
    deck(items) {
      let left: (typeof items)[number][] = [];
      return () => {
        if (left.length === 0) left = [...items];
        return take(left);
      };
    },
  };
}

/** Tommy Ettinger's generator, small and good enough to choose tests by: numbers in [0, 1) that the seed repeats. */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
