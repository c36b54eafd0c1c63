import { isDeepStrictEqual } from 'node:util';
import type { Json } from '../types.ts';
import type { ObservedCommit, ObservedRun } from './observed.ts';
import { patched } from './patch.ts';
import { rule } from './violation.ts';

interface Folded {
  seq: number;
  last: number | null;
  snapshot: Json;
}

/** The snapshots of all runs, built from nothing but their history rows, and compared with what is stored. */
export class Fold {
  readonly #runs = new Map<number, Folded>();

  /** Takes new rows, oldest first. Throws a Violation when one does not continue its run's chain. */
  append(commits: readonly ObservedCommit[]): void {
    for (const { id, run, seq, prev, patch, snapshot } of commits) {
      const before = this.#runs.get(run) ?? { seq: 0, last: null, snapshot: null };
      rule(seq === before.seq + 1, 'seq-gapless', () => `run ${run} has commit ${seq} after ${before.seq}`);
      rule(
        prev === before.last,
        'prev-chain',
        () => `commit ${seq} of run ${run} points at row ${prev}, not at ${before.last}`,
      );
      this.#runs.set(run, { seq, last: id, snapshot: next(before.snapshot, { run, seq, patch, snapshot }) });
    }
  }

  /** Compares the run's row, and its stored snapshot, with what its history says. */
  compare(run: ObservedRun, stored: string | null): void {
    const folded = this.#runs.get(run.id) ?? { seq: 0, last: null, snapshot: null };
    rule(
      run.seq === folded.seq && run.last === folded.last,
      'row-is-last-commit',
      () =>
        `${run.uid} is at ${run.seq} (row ${run.last}), its history at ${folded.seq} (row ${folded.last})`,
    );
    rule(
      isDeepStrictEqual(stored === null ? null : JSON.parse(stored), folded.snapshot),
      'history-folds',
      () => `${run.uid} at ${run.seq}: stored ${stored}, folded ${JSON.stringify(folded.snapshot)}`,
    );
  }

  /** The run was deleted. */
  forget(run: number): void {
    this.#runs.delete(run);
  }

  snapshot(run: number): Json {
    return this.#runs.get(run)?.snapshot ?? null;
  }
}

function next(
  before: Json,
  { run, seq, patch, snapshot }: Pick<ObservedCommit, 'run' | 'seq' | 'patch' | 'snapshot'>,
): Json {
  if (snapshot !== null) return JSON.parse(snapshot) as Json;
  try {
    return patched(before, JSON.parse(patch ?? 'null') as never);
  } catch (cause) {
    rule(false, 'history-folds', () => `commit ${seq} of run ${run}: ${(cause as Error).message}`);
  }
}
