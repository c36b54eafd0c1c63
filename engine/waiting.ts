/** Those who wait for a change of a run, in this process. */
export interface Waiters {
  /** Resolves at the next change of the run that may matter; rejects with the signal's reason. */
  next(what: Interest, signal: AbortSignal | undefined): Promise<void>;
  /** These runs changed; those in `live` are known not to have ended. */
  changed(runs: readonly number[], live: Pick<Set<number>, 'has'>): void;
  /** Nothing will change any more here: everybody looks once again. */
  wakeAll(): void;
}

export interface Interest {
  run: number;
  /** `any`: whether it is settled depends on the runs below it, too. */
  change: 'end' | 'own' | 'any';
}

interface Waiter extends Interest {
  wake(): void;
}

export function createWaiters(): Waiters {
  const waiters = new Map<number, Set<Waiter>>();
  const ofAny = new Set<Waiter>();
  const placeOf = ({ run, change }: Interest): Set<Waiter> => {
    if (change === 'any') return ofAny;
    const place = waiters.get(run) ?? new Set<Waiter>();
    waiters.set(run, place);
    return place;
  };
  return {
    next: (what, signal) =>
      new Promise((resolve, reject) => {
        const forget = (): void => {
          const place = placeOf(waiter);
          place.delete(waiter);
          if (place.size === 0) waiters.delete(waiter.run);
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
        placeOf(waiter).add(waiter);
      }),
    changed(runs, live) {
      for (const { wake } of ofAny) wake();
      for (const run of runs) {
        const place = waiters.get(run);
        if (place === undefined) continue;
        for (const { change, wake } of place) if (change === 'own' || !live.has(run)) wake();
      }
    },
    wakeAll() {
      for (const place of [ofAny, ...waiters.values()]) for (const { wake } of place) wake();
    },
  };
}
