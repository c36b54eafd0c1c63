import { aborted, type FlydError, fromErrorRecord, recoverable } from '#core/errors';
import type { AttemptScope, EffectScope, Interceptor, RunScope } from './interceptor.ts';
import { inLayers, type Layer } from './onion.ts';
import { type EffectOutcome, effectIdOf, type LiveEffect, type LiveRun } from './run.ts';
import { spanBelow } from './trace.ts';
import type { Json } from './types.ts';

/** Something that began in this process and ends later. */
interface Open {
  end(outcome: EffectOutcome): void;
  leave(why: FlydError): void;
}

interface OpenEffect extends Open {
  readonly epoch: number;
  /** What its last attempt gave. */
  outcome: EffectOutcome | null;
}

/** Calls the interceptors of this process. */
export class Spans {
  readonly #layers: { run: Layer<RunScope>[]; effect: Layer<EffectScope>[]; attempt: Layer<AttemptScope>[] };
  readonly #fault: (thrown: unknown) => void;
  readonly #runs = new Map<LiveRun, Open>();
  readonly #effects = new Map<LiveRun, Map<string, OpenEffect>>();

  constructor(interceptors: readonly Interceptor[], fault: (thrown: unknown) => void) {
    const layersOf = <Kind extends keyof Interceptor>(kind: Kind) =>
      interceptors.flatMap((each) => (each[kind] === undefined ? [] : [each[kind].bind(each)]));
    this.#layers = {
      run: layersOf('run') as Layer<RunScope>[],
      effect: layersOf('effect') as Layer<EffectScope>[],
      attempt: layersOf('attempt') as Layer<AttemptScope>[],
    };
    this.#fault = (thrown) =>
      fault(
        recoverable('interceptor_failed', 'an interceptor threw; the run goes on without it', {
          cause: thrown,
        }),
      );
  }

  /** This process carries the run on. */
  took(run: LiveRun): void {
    if (!this.#runs.has(run) && this.#layers.run.length > 0)
      this.#runs.set(run, this.#open(this.#layers.run, runScope(run)));
  }

  /** One attempt of an effect. */
  attempt(run: LiveRun, child: string, effect: LiveEffect, work: () => Promise<Json>): Promise<Json> {
    const { epoch, src } = effect;
    const scope = effectScope(run, child, epoch, src);
    const effects = this.#effects.get(run) ?? new Map<string, OpenEffect>();
    if (effects.get(child)?.epoch !== epoch && this.#layers.effect.length > 0) {
      effects.set(child, { ...this.#open(this.#layers.effect, scope), epoch, outcome: null });
      this.#effects.set(run, effects);
    }
    const attempt = effect.attempt + 1;
    const trace = scope.trace === null ? null : spanBelow(scope.trace, `${scope.effectId}#${attempt}`);
    return inLayers(this.#layers.attempt, { ...scope, attempt, trace }, work, this.#fault);
  }

  /** An attempt has given this. */
  gave(run: LiveRun, child: string, epoch: number, outcome: EffectOutcome): void {
    const open = this.#effects.get(run)?.get(child);
    if (open?.epoch === epoch) open.outcome = outcome;
  }

  /** The run has committed: what it does not want any more is over, and perhaps it is itself. */
  committed(run: LiveRun): void {
    const effects = this.#effects.get(run);
    for (const [child, open] of effects ?? []) {
      if (run.effects.get(child)?.epoch === open.epoch) continue;
      effects?.delete(child);
      if (open.outcome === null) open.leave(aborted('superseded', 'the run no longer wants this effect'));
      else open.end(open.outcome);
    }
    if (effects?.size === 0) this.#effects.delete(run);
    if (run.ended === null) return;
    const { ended, output, error } = run;
    if (ended === 'done') this.#runs.get(run)?.end({ ok: true, output });
    else if (error !== null) this.#runs.get(run)?.end({ ok: false, error });
    else this.#runs.get(run)?.leave(aborted('cancelled', 'the run was cancelled', { subject: run.uid }));
    this.#runs.delete(run);
  }

  /** This process does not carry the run on any longer. */
  left(run: LiveRun, why: FlydError): void {
    for (const open of this.#effects.get(run)?.values() ?? []) open.leave(why);
    this.#effects.delete(run);
    this.#runs.get(run)?.leave(why);
    this.#runs.delete(run);
  }

  /** The process closes. */
  leftAll(why: FlydError): void {
    for (const run of new Set([...this.#runs.keys(), ...this.#effects.keys()])) this.left(run, why);
  }

  #open<Scope>(layers: readonly Layer<Scope>[], scope: Scope): Open {
    const { promise, resolve, reject } = Promise.withResolvers<Json>();
    inLayers(layers, scope, () => promise, this.#fault).catch(() => {});
    return {
      end: (outcome) => (outcome.ok ? resolve(outcome.output) : reject(fromErrorRecord(outcome.error))),
      leave: reject,
    };
  }
}

function runScope({ uid, definition: { name, version }, labels, trace }: LiveRun): RunScope {
  return { run: uid, machine: name, version, labels, trace: trace === null ? null : spanBelow(trace, uid) };
}

function effectScope(run: LiveRun, child: string, epoch: number, src: string): EffectScope {
  const scope = runScope(run);
  const effectId = effectIdOf(run, child, epoch);
  const trace = scope.trace === null ? null : spanBelow(scope.trace, effectId);
  return { ...scope, src, child, effectId, trace };
}
