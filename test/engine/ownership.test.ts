import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setup } from 'xstate';
import { effect } from '#core/effect';
import { engineSet } from '#db/engine/index';
import { openDatabase, write } from '#db/open';
import { defineMachine } from '#engine/index';
import { sqliteOwnerLocks } from '#engine/owner-lock';
import { engineIn, tempFolder } from '../support/engine.ts';

// Two effects at once: one ends when the test says so, the other only when it is aborted.
const machine = setup({
  actors: { quick: effect<Record<string, never>, null>(), slow: effect<Record<string, never>, null>() },
}).createMachine({
  id: 'pair',
  initial: 'working',
  states: {
    working: {
      invoke: [
        { id: 'quick', src: 'quick', input: {}, onDone: 'next' },
        { id: 'slow', src: 'slow', input: {} },
      ],
    },
    next: { type: 'final' },
  },
});

test('an owner that lost its run commits nothing more, and its effects are told why', async (t) => {
  const folder = tempFolder(t);
  let finish = (): void => {};
  const finished = new Promise<null>((resolve) => {
    finish = () => resolve(null);
  });
  let told: unknown;
  const pair = defineMachine({
    name: 'pair',
    version: 1,
    machine,
    actors: {
      quick: () => finished,
      slow: ({ signal }) =>
        new Promise((_, reject) =>
          signal.addEventListener('abort', () => {
            told = signal.reason;
            reject(signal.reason);
          }),
        ),
    },
  });
  const engine = engineIn(t, folder, [pair]);
  const { id } = await engine.start(pair, { input: {} as never });
  while (engine.run(id).state !== 'working') await new Promise((resolve) => setTimeout(resolve, 2));
  const thief = openDatabase(join(folder, 'engine.db'), [engineSet]);
  write(thief, () => thief.prepare("UPDATE runs SET owner = 'thief'").run());
  finish();
  while (told === undefined) await new Promise((resolve) => setTimeout(resolve, 2));
  assert.equal((told as { code: string }).code, 'ownership_lost');
  assert.equal(engine.run(id).state, 'working');
  assert.equal(engine.history(id).length, 1);
  thief.close();
});

test('of many engines that resume at once, each run goes to one', async (t) => {
  const folder = tempFolder(t);
  const calls: string[] = [];
  const make = () =>
    defineMachine({
      name: 'pair',
      version: 1,
      machine,
      actors: {
        quick: async ({ effectId }) => {
          calls.push(effectId);
          return null;
        },
        slow: ({ signal }) =>
          new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      },
    });
  const starting = defineMachine({
    name: 'pair',
    version: 1,
    machine,
    actors: { quick: onAbort, slow: onAbort },
  });
  const starter = engineIn(t, folder, [starting]);
  const ids: string[] = [];
  for (let n = 0; n < 20; n++) ids.push((await starter.start(starting, { input: {} as never })).id);
  while (ids.some((id) => starter.run(id).state !== 'working'))
    await new Promise((resolve) => setTimeout(resolve, 2));
  await starter.close();
  const engines = Array.from({ length: 4 }, () => engineIn(t, folder, [make()]));
  const taken = (await Promise.all(engines.map((engine) => engine.resume()))).flat();
  assert.deepEqual(taken.sort(), ids.sort());
  const [reader] = engines;
  for (const id of ids) assert.equal((await reader?.wait(id))?.status, 'done');
  assert.equal(new Set(calls).size, calls.length);
});

const onAbort = ({ signal }: { signal: AbortSignal }): Promise<null> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

test('an SQLite owner lock is held until it is released, and only then free', (t) => {
  const locks = sqliteOwnerLocks(tempFolder(t));
  const held = locks.hold('me');
  assert.equal(locks.isHeld('me'), true);
  assert.equal(locks.isHeld('nobody'), false);
  held.release();
  assert.equal(locks.isHeld('me'), false);
});
