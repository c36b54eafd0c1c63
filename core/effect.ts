import { fromPromise, type PromiseActorLogic } from 'xstate';
import type { Json } from './json.ts';

/** What the engine hands to an actor for one attempt of one effect. */
export interface EffectContext<Input> {
  readonly input: Input;
  /** Aborts on cancel, shutdown, supersession or lost ownership; `signal.reason` is an error that says which. */
  readonly signal: AbortSignal;
  /** The run's id, the child's id and its epoch: the same over every rerun of this effect. */
  readonly effectId: string;
  /** 1 for the first attempt; counts on over crashes. */
  readonly attempt: number;
  /** What the attempt before this one last gave to `heartbeat`; null when it gave nothing. */
  readonly saved: Json;
  /** Tells watchers how far it is. Lossy, in memory, never awaited: not a record of anything. A sign of life, too. */
  progress(detail: Progress): void;
  /**
   * A sign of life, for actors with a `heartbeatMs`. What is given is stored, once a second at most and
   * when the attempt fails, and is `saved` in the next attempt: keep a position there, not data. Throws
   * `not_serialisable`, `snapshot_too_large` (beyond 64 KiB as JSON).
   */
  heartbeat(saved?: Json): void;
}

export interface Progress {
  /** Bytes or entries done and in all, as far as known. */
  done: number;
  total: number | null;
  /** What is counted: `bytes` on the wire, `unpacked` bytes, `entries`. */
  unit: 'bytes' | 'unpacked' | 'entries';
  note?: string;
}

/** One side effect. Must be safe to run again from its input and effect id, and stop soon after `signal` aborts. */
export type Effect<Input, Output> = (context: EffectContext<Input>) => Promise<Output>;

/**
 * Declares, inside `setup({ actors })`, an actor by its types alone. Machines stay pure: the engine
 * finds the implementation (an actor, or another machine run as a child) by the name.
 */
export function effect<Input, Output>(): PromiseActorLogic<Output, Input & object> {
  const logic = fromPromise<Output, Input & object>(() =>
    Promise.reject(new Error('flyd machines run in the engine, not in createActor()')),
  );
  declared.add(logic);
  return logic;
}

const declared = new WeakSet<object>();

/** Whether this actor logic was made by `effect()`: a declaration, and no code that would be passed over. */
export const isDeclared = (logic: unknown): boolean =>
  typeof logic === 'object' && logic !== null && declared.has(logic);
