import type { Layer } from './onion.ts';
import type { TraceContext } from './trace.ts';

/** Which run this is about. Nothing here can hold a secret: no input, no output. */
export interface RunScope {
  readonly run: string;
  readonly machine: string;
  readonly version: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Its own span, when the run was started with a trace. */
  readonly trace: TraceContext | null;
}

export interface EffectScope extends RunScope {
  /** The actor's name. */
  readonly src: string;
  /** The child's id in the machine. */
  readonly child: string;
  readonly effectId: string;
}

export interface AttemptScope extends EffectScope {
  /** From 1. */
  readonly attempt: number;
}

/**
 * What is called around runs, effects and their attempts in this process. Each must call `next`, and can
 * look at what it throws; nothing that it does or throws changes what becomes of the run. (One that
 * does not come to call `next` holds it up: look, and do not wait.)
 */
export interface Interceptor {
  /** From when this process takes the run on until it has ended, or another has it: then `next` throws `interrupted` or `ownership_lost`. */
  run?: Layer<RunScope>;
  /** From the first attempt in this process until the effect has given its result, or is not wanted any more. */
  effect?: Layer<EffectScope>;
  /** Each attempt. What it starts in here, such as a span, is around the actor’s own code. */
  attempt?: Layer<AttemptScope>;
}
