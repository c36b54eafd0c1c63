import type { EffectContext, Progress } from '#core/effect';
import type { Attempt } from './attempt.ts';
import type { Json } from './types.ts';

/** What one attempt tells the engine while it works. */
export interface Told {
  progress(detail: Progress): void;
  heartbeat(saved?: Json): void;
}

/**
 * What an actor is given for one attempt: all of it its own properties, so that it may be spread. The signal is
 * made when somebody asks. Its getter is one function for all: a closure for each would be a shape of objects for each.
 */
export class Given implements EffectContext<Json> {
  readonly input: Json;
  declare readonly signal: AbortSignal;
  readonly effectId: string;
  readonly attempt: number;
  readonly saved: Json;
  readonly progress: Told['progress'];
  readonly heartbeat: Told['heartbeat'];
  readonly #attempt: Attempt;

  static readonly #signal = {
    enumerable: true,
    get(this: Given): AbortSignal {
      return this.#attempt.signal;
    },
  };

  constructor(
    attempt: Attempt,
    what: { input: Json; effectId: string; attempt: number; saved: Json },
    told: Told,
  ) {
    this.#attempt = attempt;
    this.input = what.input;
    this.effectId = what.effectId;
    this.attempt = what.attempt;
    this.saved = what.saved;
    this.progress = told.progress;
    this.heartbeat = told.heartbeat;
    Object.defineProperty(this, 'signal', Given.#signal);
  }
}
