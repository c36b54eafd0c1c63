import type { System, Timer } from './types.ts';

/** So soon after a look comes the next, */
const pauseMs = 25;
/** unless looking takes long: who waits must not take the time from who works, be there ever so many who wait. */
const shareMax = 1 / 20;
const pauseMsMax = 1000;

export interface PollingOptions {
  system: Pick<System, 'now' | 'setTimer'>;
  look: () => void;
  /** Whether there is anything to look for; asked after each look. */
  goesOn: () => boolean;
}

/** Looks again and again at what other processes may have changed, for as long as somebody wants it. */
export class Polling {
  readonly #options: PollingOptions;
  #timer: Timer | null = null;
  #stopped = false;

  constructor(options: PollingOptions) {
    this.#options = options;
  }

  /** Begins, unless it is going on already or was stopped. */
  start(): void {
    this.#next(pauseMs);
  }

  /** For good. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #next(pause: number): void {
    if (this.#timer !== null || this.#stopped) return;
    const { system, look, goesOn } = this.#options;
    this.#timer = system.setTimer(() => {
      this.#timer = null;
      const began = system.now();
      look();
      const tookMs = system.now() - began;
      if (goesOn()) this.#next(Math.min(pauseMsMax, Math.max(pauseMs, tookMs / shareMax)));
    }, pause);
  }
}
