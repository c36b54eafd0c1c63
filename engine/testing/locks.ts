import type { OwnerLocks } from '../types.ts';

/** The owner locks of several simulated processes, and what may befall a process that holds one. */
export interface SimulatedLocks {
  /** What `openEngine({ owners })` takes. */
  readonly owners: OwnerLocks;
  isHeld(token: string): boolean;
  /** The process died: the kernel drops its lock. */
  died(token: string): void;
  /** SIGSTOP: it keeps its lock, and shows no sign of life from now on. */
  froze(token: string): void;
  woke(token: string): void;
  /** Its lock is gone though it lives: a lock file removed by hand, a file system that lost it. */
  stolen(token: string): void;
}

export interface LockOptions {
  /** Milliseconds; the difference of two answers is how long an owner has been silent. */
  now(): number;
  /** Kills the process that holds the token, or says false where it cannot. */
  kill?(token: string, why: string): boolean;
}

/** Owner locks in memory, for several engines in one process. */
export function memoryLocks({ now, kill }: LockOptions): SimulatedLocks {
  const held = new Set<string>();
  const silentSince = new Map<string, number>();
  const owners: OwnerLocks = {
    hold(token) {
      held.add(token);
      return { release: () => void held.delete(token) };
    },
    isHeld: (token) => held.has(token),
    silentMs(token) {
      const since = silentSince.get(token);
      return since === undefined ? 0 : now() - since;
    },
    ...(kill === undefined ? {} : { kill }),
  };
  return {
    owners,
    isHeld: owners.isHeld,
    died: (token) => void held.delete(token),
    froze: (token) => void silentSince.set(token, now()),
    woke: (token) => void silentSince.delete(token),
    stolen: (token) => void held.delete(token),
  };
}
