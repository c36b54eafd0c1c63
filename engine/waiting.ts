/** Those who wait for a change of a run, in this process. */
export interface Waiters {
  /** Resolves at the next change of the run, or of any; rejects with the signal's reason. */
  next(what: Awaited, signal: AbortSignal | undefined): Promise<void>;
  /** These runs changed. */
  changed(runs: readonly number[]): void;
  /** Nothing will change any more here: everybody looks once again. */
  wakeAll(): void;
}

interface Awaited {
  run: number;
  /** Whether it is settled depends on the runs below it, too. */
  anyRun: boolean;
}

interface Waiter extends Awaited {
  wake(): void;
}

export function createWaiters(): Waiters {
  const waiters = new Set<Waiter>();
  return {
    next: (what, signal) =>
      new Promise((resolve, reject) => {
        const forget = (): void => {
          waiters.delete(waiter);
          signal?.removeEventListener('abort', stop);
        };
        const stop = (): void => {
          forget();
          reject(signal?.reason);
        };
        const waiter: Waiter = {
          ...what,
          wake() {
            forget();
            resolve();
          },
        };
        if (signal?.aborted) return stop();
        signal?.addEventListener('abort', stop, { once: true });
        waiters.add(waiter);
      }),
    changed(runs) {
      for (const waiter of waiters) if (waiter.anyRun || runs.includes(waiter.run)) waiter.wake();
    },
    wakeAll() {
      for (const { wake } of waiters) wake();
    },
  };
}
