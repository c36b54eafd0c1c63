import type { FlydError } from '#core/errors';
import { unwatched, type Watch } from './deadlines.ts';
import { createSaving, type Saving } from './saving.ts';
import type { Json, System } from './types.ts';

/** One attempt of an effect that runs in this process. What few actors want is made when it is asked for. */
export class Attempt {
  readonly epoch: number;
  readonly startedAt: number;
  watch: Watch = unwatched;
  /** Resolves when it has stopped, whatever came of it. */
  over: Promise<void> = Promise.resolve();
  #controller: AbortController | null = null;
  #why: FlydError | null = null;
  #saving: Saving | null = null;

  constructor(epoch: number, startedAt: number) {
    this.epoch = epoch;
    this.startedAt = startedAt;
  }

  get isAborted(): boolean {
    return this.#why !== null;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#why !== null) this.#controller.abort(this.#why);
    return this.#controller.signal;
  }

  /** Tells it to stop; the first reason counts. */
  abort(why: FlydError): void {
    this.watch.end();
    if (this.#why !== null) return;
    this.#why = why;
    this.#controller?.abort(why);
  }

  /** Saves its progress, handing it to `write` in strides. */
  save(src: string, system: System, saved: Json, write: (saved: Json) => void): void {
    this.#saving ??= createSaving(src, system, write);
    this.#saving.put(saved);
  }

  /** Saves no more. Gives what was saved and not written yet; null when there is nothing. */
  endSaving(): Json {
    return this.#saving?.end() ?? null;
  }
}
