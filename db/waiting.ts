import type { Database } from 'better-sqlite3';
import { busyError, isBusy } from './errors.ts';

/** How long to wait for other processes' locks, in ms, where nothing else was asked for. */
export const lockWaitMs = 20_000;

/** Between processes SQLite's own busy handler starves the loser for seconds: sleep briefly, at random, and try again. */
const sleepMsMax = 2;
const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Makes room for the database on its full disk; false where it has none to give. */
export type MakeRoom = () => boolean;
const roomMakers = new WeakMap<Database, MakeRoom>();

/** From now on a write of this connection that finds the disk full asks for room once, and is done again. */
export const setMakeRoom = (db: Database, makeRoom: MakeRoom): void => void roomMakers.set(db, makeRoom);

/** Whether there is room now that there was not. */
export const makeRoomFor = (db: Database): boolean => roomMakers.get(db)?.() ?? false;

const waits = new WeakMap<Database, number>();

/** From now on this connection waits so long for a lock, in ms. */
export const setLockWait = (db: Database, waitMs: number): void => void waits.set(db, waitMs);

/** How long this connection waits for a lock, in ms. */
export const lockWaitOf = (db: Database): number => waits.get(db) ?? lockWaitMs;

/** Runs `work` again while another process has the database locked; throws `database_busy` after the connection's wait. */
export function withRetry<T>(db: Database, work: () => T, waitMs = lockWaitOf(db)): T {
  const since = performance.now();
  for (;;) {
    try {
      return work();
    } catch (cause) {
      if (!isBusy(cause)) throw cause;
      if (performance.now() > since + waitMs) throw busyError(db.name, cause);
    }
    // Whoever has waited longer looks more often, and so gets its turn sooner.
    const impatience = 1 + (performance.now() - since) / sleepMsMax;
    Atomics.wait(sleeper, 0, 0, 0.05 + (Math.random() * sleepMsMax) / impatience);
  }
}
