import type { LiveRun } from './run.ts';

export interface AdmissionOptions {
  /** Asks the database for leave to begin: for a place of the queue, where the run has one. */
  admit(run: LiveRun, now: number): boolean;
  /** Whether a living owner has a run that a free place of this queue must go to first. */
  yields(run: LiveRun): boolean;
  isFifo(queue: string): boolean;
}

/** The runs of this process that have not begun, in the order in which they may. */
export class Admission {
  readonly #options: AdmissionOptions;
  /** By queue; null for runs without one. */
  readonly #lines = new Map<string | null, LiveRun[]>();
  /** Those that wait for another run. */
  readonly held = new Set<LiveRun>();

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Queues in which a run of this process waits. */
  get queues(): string[] {
    return [...this.#lines.keys()].filter((queue) => queue !== null);
  }

  add(run: LiveRun): void {
    const line = this.#lines.get(run.queue) ?? [];
    if (line.includes(run)) return;
    if (run.held) this.held.add(run);
    const later = line.findIndex((other) => this.#isBefore(run, other));
    line.splice(later < 0 ? line.length : later, 0, run);
    this.#lines.set(run.queue, line);
  }

  remove(run: LiveRun): void {
    this.held.delete(run);
    const line = this.#lines.get(run.queue);
    const index = line?.indexOf(run) ?? -1;
    if (line === undefined || index < 0) return;
    line.splice(index, 1);
    if (line.length === 0) this.#lines.delete(run.queue);
  }

  /** Takes out those that may begin now. A throw of the database leaves the rest for the next time. */
  *take(now: number): Generator<LiveRun> {
    for (const [queue, line] of [...this.#lines]) {
      let full = false;
      for (const run of [...line]) {
        if (run.held || run.parked !== null || run.mailbox.length > 0) continue;
        // One that has its place already may stand behind others: a crash, or a fault, came in between.
        if (!run.admitted) {
          if (run.admitted === false && (full || (run.startAt !== null && run.startAt > now))) continue;
          if (!this.#mayBegin(run, now)) {
            full = queue !== null;
            continue;
          }
        }
        this.remove(run);
        yield run;
      }
    }
  }

  #mayBegin(run: LiveRun, now: number): boolean {
    if (run.queue === null && run.startAt === null) return true;
    if (run.queue !== null && run.admitted === false && this.#options.yields(run)) return false;
    run.admitted = null;
    const admitted = this.#options.admit(run, now);
    run.admitted = admitted;
    return admitted;
  }

  #isBefore(run: LiveRun, other: LiveRun): boolean {
    if (run.queue !== null && this.#options.isFifo(run.queue)) return run.id < other.id;
    return run.priority > other.priority || (run.priority === other.priority && run.id < other.id);
  }
}
