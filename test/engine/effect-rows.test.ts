import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setup } from 'xstate';
import { recoverable } from '#core/errors';
import { defineMachine, effect, type Json } from '#engine/index';
import { input, laboratory, type None } from './laboratory.ts';

/** Two effects one after the other that share an id, as those of neighbouring states often do. */
const machine = setup({ actors: { work: effect<None, Json>(), other: effect<None, Json>() } }).createMachine({
  id: 'twice',
  initial: 'first',
  states: {
    first: { invoke: { id: 'work', src: 'work', input: {}, onDone: 'second' } },
    second: { invoke: { id: 'work', src: 'work', input: {}, onDone: 'third' } },
    third: { invoke: { id: 'work', src: 'other', input: {}, onDone: 'over' } },
    over: { type: 'final' },
  },
});

const hang = (signal: AbortSignal): Promise<Json> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
const rowsQuery = 'SELECT src, epoch, state, attempt, looks, error, saved FROM effects';

test('an effect inherits nothing from one of the same id before it: attempts, error, saved progress', async (t) => {
  const { boot, clock, rows } = laboratory(t);
  let calls = 0;
  const twice = defineMachine({
    name: 'twice',
    version: 1,
    machine,
    actors: {
      work: async ({ heartbeat, signal }) => {
        calls += 1;
        if (calls === 3) return hang(signal);
        heartbeat({ at: calls });
        if (calls === 1) throw recoverable('source_unavailable', 'not there yet');
        return null;
      },
      other: ({ signal }) => hang(signal),
    },
    retry: { work: { recoverable: { attemptsMax: 2, pauseMs: 1000, pauseMsMax: 1000 } } },
  });
  const { engine } = boot('A', [twice]);
  const { id } = await engine.start(twice, { input });
  await clock.advance(10);
  const [failed] = rows(rowsQuery) as { attempt: number; saved: string; error: string }[];
  assert.equal(failed?.attempt, 1);
  assert.deepEqual(JSON.parse(failed.saved), { at: 1 });
  assert.match(failed.error, /not there yet/);
  await clock.advance(2000);
  assert.equal(engine.run(id).state, 'second');
  const fresh = { state: 'due', attempt: 0, looks: 0, error: null, saved: null };
  assert.deepEqual(rows(rowsQuery), [{ src: 'work', epoch: 2, ...fresh }]);
  assert.equal(engine.run(id).attempts, 0);
});

test('an effect of another source takes the row of one of the same id', async (t) => {
  const { boot, clock, rows } = laboratory(t);
  const twice = defineMachine({
    name: 'twice',
    version: 1,
    machine,
    actors: { work: async () => null, other: ({ signal }) => hang(signal) },
  });
  const { engine } = boot('A', [twice]);
  await engine.start(twice, { input });
  await clock.advance(10);
  const fresh = { state: 'due', attempt: 0, looks: 0, error: null, saved: null };
  assert.deepEqual(rows(rowsQuery), [{ src: 'other', epoch: 3, ...fresh }]);
});
