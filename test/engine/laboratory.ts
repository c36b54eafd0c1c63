import { join } from 'node:path';
import type { TestContext } from 'node:test';
import SqliteDatabase from 'better-sqlite3';
import { setup } from 'xstate';
import { type Definition, defineMachine, type Effect, effect, type Json, type Queues } from '#engine/index';
import {
  createClock,
  memoryLocks,
  type ProcessOptions,
  SimulatedProcess,
  sqliteError,
  type TransactionHooks,
} from '#engine/testing/index';
import { tempFolder } from '../support/engine.ts';

export type None = Record<string, never>;

/** Several processes on one database, a clock that moves when told, and a look at the rows. */
export function laboratory(t: TestContext) {
  const path = join(tempFolder(t), 'engine.db');
  const clock = createClock();
  const locks = memoryLocks({ now: () => clock.now() });
  return {
    clock,
    path,
    boot(
      name: string,
      machines: Definition[],
      transactions: TransactionHooks = {},
      queues: Queues = {},
      more: Partial<ProcessOptions> = {},
    ): SimulatedProcess {
      const process = new SimulatedProcess({
        name,
        path,
        locks,
        clock: clock.process(name),
        transactions,
        queues,
        machines: () => machines,
        retry: { recoverable: { attemptsMax: 1, pauseMs: 10, pauseMsMax: 10 } },
        ...more,
      });
      t.after(() => process.die());
      return process;
    },
    rows(query: string): unknown[] {
      const db = new SqliteDatabase(path, { readonly: true });
      try {
        return db.prepare(query).all();
      } finally {
        db.close();
      }
    },
  };
}

/** COMMIT number `nth` from now on is durable, and says that it failed. */
export function unknownCommit(nth: number): TransactionHooks & { left: number } {
  const hooks = {
    left: nth,
    commit(_: SimulatedProcess, commit: () => void): void {
      commit();
      if (--hooks.left === 0) throw sqliteError('SQLITE_IOERR_FSYNC');
    },
  };
  return hooks;
}

const oneMachine = setup({
  types: { output: {} as Json },
  actors: { work: effect<None, Json>() },
}).createMachine({
  id: 'one',
  initial: 'working',
  states: {
    working: { invoke: { id: 'work', src: 'work', input: {}, onDone: 'worked' } },
    worked: { type: 'final' },
  },
  output: null,
});
/** A machine of one effect. */
export const one = (work: Effect<None, Json> = async () => null, name = 'one'): Definition<None, Json> =>
  defineMachine({ name, version: 1, machine: oneMachine, actors: { work } });
export const input = {} as never;

/** Pays, then ships; only while it ships can it be cancelled, with a refund. */
export const carefulMachine = setup({
  types: { events: {} as { type: 'flyd.cancel' } },
  actors: { pay: effect<None, Json>(), refund: effect<None, Json>(), ship: effect<None, Json>() },
}).createMachine({
  id: 'careful',
  initial: 'paying',
  states: {
    // Cannot be broken off: nobody could tell whether money went.
    paying: { invoke: { id: 'pay', src: 'pay', input: {}, onDone: 'shipping' } },
    shipping: {
      on: { 'flyd.cancel': 'refunding' },
      invoke: { id: 'ship', src: 'ship', input: {}, onDone: 'shipped' },
    },
    refunding: { invoke: { id: 'refund', src: 'refund', input: {}, onDone: 'cancelled' } },
    shipped: { type: 'final' },
    cancelled: { type: 'final', tags: ['cancelled'] },
  },
});
