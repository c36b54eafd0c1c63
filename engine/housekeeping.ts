import { unrecoverable } from '#core/errors';
import type { Compaction } from '#db/engine/index';
import type { Compacted, Retention } from './retention.ts';
import type { System } from './types.ts';

/** How often a process that moves runs looks whether there is something to delete. */
const everyMs = 3600_000;
/** Runs that are deleted in one transaction: nobody else writes meanwhile. */
const purgedAtOnce = 50;

/** Deletes what need not be kept, in small transactions. */
export class Housekeeping {
  readonly #retention: Retention;
  readonly #compaction: Compaction;
  readonly #system: System;
  readonly #fault: (fault: unknown) => void;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #running: Promise<Compacted> | null = null;
  #closed = false;

  constructor(
    retention: Retention,
    parts: { compaction: Compaction; system: System; fault(fault: unknown): void },
  ) {
    for (const [name, given] of Object.entries(retention) as [string, number][])
      if (!(given >= (name === 'historyRowsMax' ? 1 : 0)))
        throw unrecoverable('usage', `retention.${name} is ${given}`, { hint: 'leave it out to keep all' });
    this.#retention = retention;
    this.#compaction = parts.compaction;
    this.#system = parts.system;
    this.#fault = parts.fault;
  }

  /** Something happened: now and then that is the occasion to compact. */
  occasion(): void {
    if (Object.keys(this.#retention).length === 0 || this.#closed) return;
    const sinceMs = this.#system.now() - this.#lookedAt;
    if (sinceMs >= 0 && sinceMs < everyMs) return;
    this.compact().catch(this.#fault);
  }

  /** One at a time: who asks while one is under way is given that. */
  compact(): Promise<Compacted> {
    this.#lookedAt = this.#system.now();
    this.#running ??= this.#compact().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#running?.catch(() => {});
  }

  async #compact(): Promise<Compacted> {
    const { endedForMs, historyRowsMax } = this.#retention;
    const done: Compacted = { runs: 0, rows: 0 };
    if (endedForMs !== undefined) {
      const before = this.#system.now() - endedForMs;
      for (let purged = purgedAtOnce; purged === purgedAtOnce && (await this.#turn()); ) {
        purged = this.#compaction.purge(this.#compaction.endedBefore(before, purgedAtOnce));
        done.runs += purged;
      }
    }
    if (historyRowsMax !== undefined && (await this.#turn()))
      for (const run of this.#compaction.longerThan(historyRowsMax)) {
        if (!(await this.#turn())) break;
        done.rows += this.#compaction.cut(run, historyRowsMax);
      }
    return done;
  }

  /** Lets everybody else go first; says whether to go on. */
  #turn(): Promise<boolean> {
    return new Promise((resolve) => this.#system.setTimer(() => resolve(!this.#closed), 0));
  }
}
