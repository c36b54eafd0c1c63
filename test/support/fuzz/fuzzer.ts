import { createHash } from 'node:crypto';
import { Session } from 'node:inspector';
import { type Random, randomOf } from '../random.ts';

/** What is fuzzed. `run` must throw for every fault, hang never, and give nothing. */
export interface FuzzTarget {
  name: string;
  /** Parts of the addresses of the sources whose coverage counts. */
  sources: readonly string[];
  seeds: () => readonly Buffer[];
  mutate: (input: Buffer, other: Buffer, r: Random) => Buffer;
  run: (input: Buffer) => void;
}

export interface FuzzResult {
  runs: number;
  /** Inputs that are worth keeping: each reached code, or a count of it, that none before did. */
  corpus: Buffer[];
  /** The first input that the target did not stand, and what it threw. */
  failure: { input: Buffer; error: unknown } | null;
}

/**
 * Fuzzes by coverage: V8's own counters of blocks (node:inspector, Profiler.takePreciseCoverage) tell which
 * mutants reached something new, and those are mutated further. The same seed, corpus and number of runs
 * make the same inputs; a limit of time only says where the sequence ends.
 */
export function fuzz(
  target: FuzzTarget,
  corpus: readonly Buffer[],
  limits: { seed: number; runs: number; until: () => boolean },
): FuzzResult {
  const coverage = new Coverage(target.sources);
  const r = randomOf(limits.seed);
  const pool: Buffer[] = [];
  let runs = 0;
  const attempt = (input: Buffer): FuzzResult | null => {
    runs++;
    try {
      target.run(input);
    } catch (error) {
      return { runs, corpus: pool, failure: { input, error } };
    }
    if (coverage.isNew()) pool.push(input);
    return null;
  };
  try {
    for (const input of [...target.seeds(), ...corpus]) {
      const failed = attempt(input);
      if (failed !== null) return failed;
    }
    while (runs < limits.runs && !limits.until()) {
      const failed = attempt(target.mutate(r.pick(pool), r.pick(pool), r));
      if (failed !== null) return failed;
    }
    return { runs, corpus: pool, failure: null };
  } finally {
    coverage.close();
  }
}

interface ScriptCoverage {
  url: string;
  functions: { ranges: { startOffset: number; endOffset: number; count: number }[] }[];
}

/** Which blocks ran since the last question, and how often, in powers of two. */
class Coverage {
  readonly #session = new Session();
  readonly #sources: readonly string[];
  readonly #seen = new Set<string>();

  constructor(sources: readonly string[]) {
    this.#sources = sources;
    this.#session.connect();
    this.#post('Profiler.enable');
    this.#post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  isNew(): boolean {
    const before = this.#seen.size;
    for (const { url, functions } of this.#take()) {
      if (!this.#sources.some((source) => url.includes(source))) continue;
      for (const { ranges } of functions)
        for (const { startOffset, endOffset, count } of ranges)
          if (count > 0) this.#seen.add(`${url}:${startOffset}:${endOffset}:${Math.floor(Math.log2(count))}`);
    }
    return this.#seen.size > before;
  }

  close(): void {
    this.#session.disconnect();
  }

  #take(): ScriptCoverage[] {
    return (this.#post('Profiler.takePreciseCoverage') as { result: ScriptCoverage[] }).result;
  }

  /** Sessions of the own thread answer before `post` returns. */
  #post(method: string, params: object = {}): unknown {
    let answer: unknown = null;
    this.#session.post(method, params, (error, result) => {
      if (error !== null) throw new Error(`${method}: ${error.message}`);
      answer = result;
    });
    return answer;
  }
}

export const nameOf = (input: Buffer): string =>
  createHash('sha256').update(input).digest('hex').slice(0, 12);
