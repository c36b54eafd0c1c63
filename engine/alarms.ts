import type { LiveRun } from './run.ts';
import type { System, Timer } from './types.ts';

/** Wall clocks are set, and machines sleep: a deadline further off is looked at again on the way. */
const alarmMsMax = 60_000;

/** One alarm for each run: when the next of its deadlines is due. */
export class Alarms {
  readonly #system: System;
  readonly #ring: (run: LiveRun) => void;
  readonly #timers = new Map<LiveRun, Timer>();

  constructor(system: System, ring: (run: LiveRun) => void) {
    this.#system = system;
    this.#ring = ring;
  }

  /** Rings at `at` (milliseconds since the epoch) instead of when it would have; null: not at all. */
  set(run: LiveRun, at: number | null): void {
    this.drop(run);
    if (at === null) return;
    const delay = Math.min(Math.max(at - this.#system.now(), 1), alarmMsMax);
    this.#timers.set(
      run,
      this.#system.setTimer(() => this.#ring(run), delay),
    );
  }

  drop(run: LiveRun): void {
    this.#timers.get(run)?.cancel();
    this.#timers.delete(run);
  }

  clear(): void {
    for (const timer of this.#timers.values()) timer.cancel();
  }
}

/** When the run's next timer or attempt is due, or it may begin; null when nothing is. */
export function nextDue(run: LiveRun, now: number): number | null {
  if (!run.begun) return run.held || run.startAt === null || run.startAt <= now ? null : run.startAt;
  let next = Number.POSITIVE_INFINITY;
  for (const timer of run.timers.values()) next = Math.min(next, timer.dueAt);
  for (const [child, effect] of run.effects)
    if (effect.state !== 'parked' && !run.attempts.has(child)) next = Math.min(next, effect.dueAt);
  return next === Number.POSITIVE_INFINITY ? null : next;
}
