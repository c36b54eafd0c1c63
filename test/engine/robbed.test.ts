import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setup } from 'xstate';
import { defineMachine, type Effect, effect, type Json } from '#engine/index';
import { carefulMachine, input, laboratory, type None } from './laboratory.ts';

// An owner that lost its lock while it lived: no lock can do that, so what is left is to do little harm.

const twoMachine = setup({
  actors: { quick: effect<None, Json>(), slow: effect<None, Json>() },
}).createMachine({
  id: 'two',
  initial: 'working',
  states: {
    working: {
      invoke: [
        { id: 'quick', src: 'quick', input: {} },
        { id: 'slow', src: 'slow', input: {}, onDone: 'worked' },
      ],
    },
    worked: { type: 'final' },
  },
});

test('an owner that lost its run starts nothing of it when its effects have wound down', async (t) => {
  const { boot, clock } = laboratory(t);
  const never = (): Promise<Json> => new Promise(() => {});
  const two = (quick: Effect<None, Json>, slow: Effect<None, Json>) =>
    defineMachine({ name: 'two', version: 1, machine: twoMachine, actors: { quick, slow } });
  let starts = 0;
  let finishQuick = (): void => {};
  let stopSlow = (): void => {};
  const robbed = two(
    () =>
      new Promise((resolve) => {
        finishQuick = () => resolve(null);
      }),
    ({ signal }) => {
      starts += 1;
      return new Promise((_, reject) => {
        stopSlow = () => reject(signal.reason);
      });
    },
  );
  const a = boot('a', [robbed]);
  const { id } = await a.engine.start(robbed, { input });
  await clock.advance(100);
  a.freeze();
  a.loseLock();
  const b = boot('b', [two(never, never)]);
  await b.engine.resume();
  await clock.advance(100);
  assert.equal(a.engine.run(id).owner, b.token);
  a.wake();
  // Its commit of this result is refused: so it learns that the run is another's.
  finishQuick();
  await clock.advance(100);
  stopSlow();
  await clock.advance(5000);
  assert.equal(starts, 1);
});

test('a run that comes back to an owner that lost it is read anew', async (t) => {
  const { boot, clock } = laboratory(t);
  const never = (): Promise<Json> => new Promise(() => {});
  const careful = (pay: Effect<None, Json>, ship: Effect<None, Json>) =>
    defineMachine({
      name: 'careful',
      version: 1,
      machine: carefulMachine,
      actors: { pay, ship, refund: async () => null },
    });
  let pays = 0;
  const stopped: Effect<None, Json> = ({ signal }) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  const a = boot('a', [
    careful(
      (context) => {
        pays += 1;
        return stopped(context);
      },
      async () => null,
    ),
  ]);
  const { id } = await a.engine.start(a.machine('careful'), { input });
  await clock.advance(100);
  a.freeze();
  a.loseLock();
  const b = boot('b', [careful(async () => null, stopped)]);
  await b.engine.resume();
  await clock.advance(100);
  assert.equal(b.engine.run(id).state, 'shipping');
  await b.close();
  a.wake();
  void a.engine.wait(id).catch(never);
  await clock.advance(5000);
  assert.equal(a.engine.run(id).status, 'done');
  assert.equal(pays, 1);
});
