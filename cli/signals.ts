import { aborted, type FlydError } from '#core/errors';
import { exitOfSignal } from './exit.ts';

const heeded = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** The same signal so soon after is an echo: the terminal and a wrapper (npx, an older Node) both pass one on. */
const echoMs = 500;

export interface Stop {
  /** Aborts at the first signal, with a FlydError `interrupted`. */
  readonly signal: AbortSignal;
  /** The signal that came first, or null. */
  received(): NodeJS.Signals | null;
  dispose(): void;
}

/** The first signal asks to stop in good order; a second one ends the process at once. */
export function watchSignals(onFirst: (signal: NodeJS.Signals) => void): Stop {
  const controller = new AbortController();
  let first: NodeJS.Signals | null = null;
  let firstAt = 0;
  const heed = (signal: NodeJS.Signals): void => {
    if (first === null) {
      first = signal;
      firstAt = performance.now();
      onFirst(signal);
      controller.abort(interrupted(signal));
    } else if (signal !== first || performance.now() - firstAt > echoMs) process.exit(exitOfSignal(signal));
  };
  for (const signal of heeded) process.on(signal, heed);
  return {
    signal: controller.signal,
    received: () => first,
    dispose() {
      for (const signal of heeded) process.off(signal, heed);
    },
  };
}

const interrupted = (signal: NodeJS.Signals): FlydError =>
  aborted('interrupted', 'the process was asked to stop; the run stays resumable', { facts: { signal } });
