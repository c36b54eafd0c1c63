import type { System, Timer } from '../types.ts';
import { type Random, seeded } from './random.ts';

/** The time and the timers of one simulated process: what `openEngine({ system })` takes. */
export interface ProcessClock extends System {
  readonly name: string;
  /** How far its wall clock is ahead of true time, in milliseconds. May be changed at any time. */
  skewMs: number;
  /** The process is dead: none of its timers fires any more, and it can set none. */
  stop(): void;
  /** The process stands still (SIGSTOP): its timers become due, and wait. */
  freeze(): void;
  thaw(): void;
}

/** Time that moves only when it is told to. */
export interface Clock {
  /** True time, in milliseconds since the epoch. */
  now(): number;
  process(name: string, options?: { skewMs?: number }): ProcessClock;
  /** When the next timer of a process that is not frozen is due; null when there is none. */
  nextAt(): number | null;
  /** Moves time on without running anything; never back. */
  moveTo(at: number): void;
  /** Runs one callback that is due, chosen by the seed; null when none is. What it throws is handed over, not thrown. */
  runOne(): { process: string; thrown: unknown } | null;
  /** Moves on by `ms`, running what is due on the way in the order of time. Throws what a callback threw. */
  advance(ms: number): Promise<void>;
}

export interface ClockOptions {
  seed?: number;
  /** Milliseconds since the epoch. */
  startAt?: number;
}

interface Entry {
  readonly at: number;
  readonly order: number;
  readonly owner: Life;
  readonly run: () => void;
}

interface Life {
  readonly name: string;
  skewMs: number;
  state: 'running' | 'frozen' | 'stopped';
}

/** Lets every promise that can go on do so. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A clock for one or several simulated processes. Nothing in it depends on real time. */
export function createClock({ seed = 0, startAt = 1_700_000_000_000 }: ClockOptions = {}): Clock {
  const random: Random = seeded(seed);
  const entries = new Set<Entry>();
  let now = startAt;
  let orders = 0;

  const runnable = (): Entry[] => [...entries].filter(({ owner }) => owner.state === 'running');
  const due = (): Entry[] => runnable().filter(({ at }) => at <= now);
  const earliest = (list: Entry[]): Entry | undefined =>
    list.reduce<Entry | undefined>(
      (best, entry) =>
        best === undefined || entry.at < best.at || (entry.at === best.at && entry.order < best.order)
          ? entry
          : best,
      undefined,
    );

  return {
    now: () => now,
    process(name, { skewMs = 0 } = {}) {
      const life: Life = { name, skewMs, state: 'running' };
      let ids = 0;
      return {
        name,
        get skewMs() {
          return life.skewMs;
        },
        set skewMs(ms) {
          life.skewMs = ms;
        },
        now: () => now + life.skewMs,
        setTimer(run, delayMs): Timer {
          if (life.state === 'stopped') return { cancel() {} };
          const entry = { at: now + Math.max(delayMs, 0), order: ++orders, owner: life, run };
          entries.add(entry);
          return { cancel: () => void entries.delete(entry) };
        },
        random: () => random.next(),
        newId: () => `${name}.${++ids}`,
        stop() {
          life.state = 'stopped';
          for (const entry of entries) if (entry.owner === life) entries.delete(entry);
        },
        freeze() {
          if (life.state === 'running') life.state = 'frozen';
        },
        thaw() {
          if (life.state === 'frozen') life.state = 'running';
        },
      };
    },
    nextAt: () => earliest(runnable())?.at ?? null,
    moveTo(at) {
      now = Math.max(now, at);
    },
    runOne() {
      const ready = due();
      if (ready.length === 0) return null;
      const entry = random.pick(ready);
      entries.delete(entry);
      try {
        entry.run();
        return { process: entry.owner.name, thrown: null };
      } catch (thrown) {
        return { process: entry.owner.name, thrown };
      }
    },
    async advance(ms) {
      const end = now + ms;
      for (;;) {
        await settle();
        const entry = earliest(runnable());
        if (entry === undefined || entry.at > end) break;
        entries.delete(entry);
        now = Math.max(now, entry.at);
        entry.run();
      }
      now = end;
      await settle();
    },
  };
}
