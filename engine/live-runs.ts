import type { LiveRun } from './run.ts';

/** The live runs that a process has in memory, by their number in the database; their ids lead there. */
export class LiveRuns extends Map<number, LiveRun> {
  readonly #numbers = new Map<string, number>();

  /** The number of the run of this id; undefined when it is not here. */
  numberOf(uid: string): number | undefined {
    return this.#numbers.get(uid);
  }

  override set(id: number, run: LiveRun): this {
    this.#numbers.set(run.uid, id);
    return super.set(id, run);
  }

  override delete(id: number): boolean {
    const run = this.get(id);
    if (run !== undefined) this.#numbers.delete(run.uid);
    return super.delete(id);
  }

  override clear(): void {
    this.#numbers.clear();
    super.clear();
  }
}
