import type { Effect, EffectContext } from '#core/effect';
import { aborted, pending, recoverable, unrecoverable } from '#core/errors';
import type { Json, Timer } from '../types.ts';
import type { SimulatedProcess } from './process.ts';
import type { Random } from './random.ts';
import { rule } from './violation.ts';

/** How an effect may fail. `unclassified` is an error without a kind, as a bug throws it. */
export type FailureKind = 'recoverable' | 'pending' | 'unrecoverable' | 'abort' | 'unclassified';

/** What the world sees of one attempt. */
export type ActContext<Input> = Pick<
  EffectContext<Input>,
  'input' | 'effectId' | 'attempt' | 'saved' | 'heartbeat'
>;

/** What a simulated effect is. */
export interface SimulatedEffect<Input, Output> {
  /**
   * What it does to the world, and gives. Called once for each attempt that gets so far; a crash can
   * repeat it with the same `effectId`, so it must be as idempotent as the real one is to be.
   */
  act(context: ActContext<Input>): Output;
  /** The kinds in which it may fail, before or after it has acted. Default: all but `abort`. */
  fails?: readonly FailureKind[];
  /** It takes up to so many simulated milliseconds. Default: 40. */
  msMax?: number;
  /** The chance that an attempt hangs until it is told to stop: for actors with a timeout or a heartbeat. */
  stalls?: number;
}

/** One line of the ledger: what happened to one attempt of one effect. */
export interface LedgerEntry {
  at: number;
  process: string;
  src: string;
  effectId: string;
  attempt: number;
  what: 'started' | 'acted' | 'done' | 'failed' | 'aborted' | 'stopped';
}

/** An attempt that has not come to its end, in a process that lives. */
interface OpenAttempt {
  src: string;
  effectId: string;
  attempt: number;
  process: SimulatedProcess;
  /** It was told to stop. */
  winding: boolean;
  /** The database says that its process owns the run. */
  owned: boolean;
}

export interface WorldOptions {
  random: Random;
  now(): number;
  /** Chances of one attempt, from 0 to 1. */
  rates: { fail: number; instant: number; deaf: number };
  /** Judges a start; false when the process does not own the run any more. */
  starts(
    start: { effectId: string; src: string; input: Json; attempt: number },
    process: SimulatedProcess,
  ): boolean;
  note(line: string): void;
  broke(broken: unknown): void;
}

const defaultFails: readonly FailureKind[] = ['recoverable', 'pending', 'unrecoverable', 'unclassified'];

/** Everything outside the engine that effects can reach, and the record of what they did. */
export class World {
  readonly ledger: LedgerEntry[] = [];
  readonly #options: WorldOptions;
  readonly #open = new Set<OpenAttempt>();
  /** By owner: the runs that it knows to be another's. */
  readonly #told = new Map<string, Set<string>>();
  /** No effect fails any more. */
  healed = false;

  constructor(options: WorldOptions) {
    this.#options = options;
  }

  /** The effect as `process` runs it. */
  effect<Input, Output>(
    process: SimulatedProcess,
    src: string,
    simulated: SimulatedEffect<Input, Output>,
  ): Effect<Input, Output> {
    return (context) => {
      process.mustLive();
      const { effectId, attempt, input } = context;
      const owned = this.#judge(() => {
        const owns = this.#options.starts({ effectId, attempt, src, input: input as Json }, process);
        if (owns) this.#refuseTwins(effectId, process);
        else this.#excuse(effectId, process);
        return owns;
      });
      const open: OpenAttempt = { src, effectId, attempt, process, winding: false, owned };
      this.#open.add(open);
      this.#log(open, 'started');
      return this.#attempt(open, simulated, context);
    };
  }

  /** The engine would take a Violation for an effect's own error: it is handed over besides. */
  #judge<T>(judgement: () => T): T {
    try {
      return judgement();
    } catch (broken) {
      this.#options.broke(broken);
      throw broken;
    }
  }

  /** The run has come to this owner, perhaps again. */
  gained(run: string, token: string): void {
    this.#told.get(token)?.delete(run);
  }

  /** Whether an effect of the run is under way in a living process that owned it when it started. */
  isOpen(run: string): boolean {
    return [...this.#open].some(
      ({ effectId, process, owned }) =>
        owned && process.isAlive && !process.robbed && runOf(effectId) === run,
    );
  }

  /** Its attempts are over: nobody will hear of them. */
  processDied(process: SimulatedProcess): void {
    for (const open of this.#open) if (open.process === process) this.#open.delete(open);
  }

  /** Only a process that was robbed, and has not been told so, may act for a run that is another's. */
  #excuse(effectId: string, process: SimulatedProcess): void {
    rule(
      process.robbed,
      'effect-of-owner',
      () => `${effectId} starts in ${process.name}, which does not own the run`,
    );
    rule(
      this.#told.get(process.token)?.has(runOf(effectId)) !== true,
      'stops-when-told',
      () => `${effectId} starts in ${process.name}, which knows that the run is another's`,
    );
  }

  /** Each effect once at a time; and nothing new of a run before what was aborted has wound down. */
  #refuseTwins(effectId: string, process: SimulatedProcess): void {
    const run = runOf(effectId);
    for (const other of this.#open) {
      if (other.process.robbed || !other.owned) continue;
      rule(
        other.effectId !== effectId,
        'effect-once-at-a-time',
        () => `${effectId} starts in ${process.name} while it runs in ${other.process.name}`,
      );
      rule(
        !(other.winding && other.process === process && runOf(other.effectId) === run),
        'winds-down-first',
        () => `${effectId} starts while ${other.effectId} is still winding down`,
      );
    }
  }

  /** In two parts, so that a crash can come in between: it acts, and its answer is on the way. */
  #attempt<Input, Output>(
    open: OpenAttempt,
    simulated: SimulatedEffect<Input, Output>,
    context: EffectContext<Input>,
  ): Promise<Output> {
    const { signal } = context;
    const { random, rates } = this.#options;
    const { process } = open;
    const act = this.#fate(open, simulated, context);
    const stalls = simulated.stalls !== undefined && !this.healed && random.chance(simulated.stalls);
    const deaf = random.chance(rates.deaf) && !stalls;
    const msMax = random.chance(rates.instant) ? 0 : (simulated.msMax ?? 40);
    return new Promise((resolve, reject) => {
      const later = (step: () => void): Timer => process.clock.setTimer(step, random.int(msMax + 1));
      const answer = (outcome: Outcome<Output>): void => {
        this.#log(open, outcome.ok ? 'done' : 'failed');
        if (outcome.ok) resolve(outcome.output);
        else reject(outcome.error);
      };
      const begin = (): void => {
        const outcome = act();
        if (msMax === 0) answer(outcome);
        else next = later(() => answer(outcome));
      };
      let next: Timer = stalls ? { cancel() {} } : later(begin);
      signal.addEventListener('abort', () => {
        if (!process.isAlive || !this.#open.has(open)) return;
        open.winding = true;
        if ((signal.reason as { code?: unknown }).code === 'ownership_lost')
          this.#told.set(
            process.token,
            (this.#told.get(process.token) ?? new Set<string>()).add(runOf(open.effectId)),
          );
        this.#log(open, 'aborted');
        if (deaf) return;
        next.cancel();
        const stop = (): void => {
          this.#log(open, 'stopped');
          reject(signal.reason);
        };
        if (random.chance(0.5)) stop();
        else next = later(stop);
      });
    });
  }

  /** What will come of one attempt, decided beforehand. */
  #fate<Input, Output>(
    open: OpenAttempt,
    { act, fails = defaultFails }: SimulatedEffect<Input, Output>,
    { input, effectId, attempt, saved, heartbeat }: EffectContext<Input>,
  ): () => Outcome<Output> {
    const { random, rates } = this.#options;
    const failing = !this.healed && fails.length > 0 && random.chance(rates.fail);
    const error = failing ? failureOf(random.pick(fails)) : null;
    const failsAfterwards = random.chance(0.5);
    return () => {
      if (error !== null && !failsAfterwards) return { ok: false, error };
      this.#log(open, 'acted');
      try {
        const output = act({ input, effectId, attempt, saved, heartbeat });
        return error === null ? { ok: true, output } : { ok: false, error };
      } catch (thrown) {
        return { ok: false, error: thrown };
      }
    };
  }

  #log(open: OpenAttempt, what: LedgerEntry['what']): void {
    const { process, src, effectId, attempt } = open;
    if (what === 'done' || what === 'failed' || what === 'stopped') this.#open.delete(open);
    this.ledger.push({ at: this.#options.now(), process: process.name, src, effectId, attempt, what });
    this.#options.note(`${process.name} effect ${effectId} attempt ${attempt} ${what}`);
  }
}

const runOf = (effectId: string): string => effectId.slice(0, effectId.indexOf('/'));

type Outcome<Output> = { ok: true; output: Output } | { ok: false; error: unknown };

function failureOf(kind: FailureKind): Error {
  const message = `a simulated ${kind} failure`;
  switch (kind) {
    case 'recoverable':
      return recoverable('source_unavailable', message);
    case 'pending':
      return pending('object_missing', message);
    case 'unrecoverable':
      return unrecoverable('no_space', message);
    case 'abort':
      return aborted('interrupted', message);
    case 'unclassified':
      return new Error(message);
  }
}
