import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setup } from 'xstate';
import { defineMachine, type System } from '#engine/index';
import { engineIn, tempFolder } from '../support/engine.ts';

const machine = setup({
  types: { events: {} as { type: 'poke' } | { type: 'finish' }, context: {} as Record<string, never> },
}).createMachine({
  id: 'timed',
  context: {},
  initial: 'waiting',
  states: {
    waiting: {
      on: { poke: { target: 'waiting', reenter: true }, finish: 'finished' },
      after: { 60000: 'expired' },
    },
    expired: { type: 'final' },
    finished: { type: 'final' },
  },
});
const timed = defineMachine({ name: 'timed', version: 1, machine, actors: {} });

/** A clock that stands still until it is moved. */
function clock() {
  let now = 1_700_000_000_000;
  let last = 0;
  const timers = new Map<number, { at: number; run: () => void }>();
  const system: System = {
    now: () => now,
    setTimer(run, delayMs) {
      // What is due at once goes through the event loop, so that promises settle in between.
      if (delayMs <= 0) {
        const handle = setImmediate(run);
        return { cancel: () => clearImmediate(handle) };
      }
      const id = ++last;
      timers.set(id, { at: now + delayMs, run });
      return { cancel: () => timers.delete(id) };
    },
    random: () => 0.5,
    newId: () => `id-${++last}-${now}-${Math.random().toString(36).slice(2)}`,
  };
  const settle = async () => {
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    system,
    timers,
    async advance(ms: number) {
      const end = now + ms;
      for (;;) {
        await settle();
        const next = [...timers].filter(([, { at }]) => at <= end).sort((a, b) => a[1].at - b[1].at)[0];
        if (next === undefined) break;
        timers.delete(next[0]);
        now = Math.max(now, next[1].at);
        next[1].run();
      }
      now = end;
      await settle();
    },
  };
}

test('a deadline is absolute: it fires on time, and not before', async (t) => {
  const { system, advance } = clock();
  const engine = engineIn(t, tempFolder(t), [timed], { system });
  const { id } = await engine.start(timed, { input: {} as never });
  await advance(59_000);
  assert.equal(engine.run(id).status, 'waiting');
  await advance(1_100);
  assert.equal(engine.run(id).state, 'expired');
});

test('a deadline survives the process, and fires at once when it is overdue', async (t) => {
  const folder = tempFolder(t);
  const { system, advance } = clock();
  const first = engineIn(t, folder, [timed], { system });
  const { id } = await first.start(timed, { input: {} as never });
  await advance(10_000);
  await first.close();
  await advance(100_000);
  assert.equal(first.run(id).status, 'waiting');
  const second = engineIn(t, folder, [timed], { system });
  await second.resume();
  await advance(10);
  assert.equal(second.run(id).state, 'expired');
});

test('re-entering a state starts its deadline anew, and the old one is gone', async (t) => {
  const { system, advance } = clock();
  const engine = engineIn(t, tempFolder(t), [timed], { system });
  const { id } = await engine.start(timed, { input: {} as never });
  await advance(50_000);
  await engine.send(id, { type: 'poke' });
  await advance(50_000);
  assert.equal(engine.run(id).status, 'waiting');
  await advance(11_000);
  assert.equal(engine.run(id).state, 'expired');
});

test('a run that ended leaves no timer behind', async (t) => {
  const { system, advance } = clock();
  const engine = engineIn(t, tempFolder(t), [timed], { system });
  const { id } = await engine.start(timed, { input: {} as never });
  await advance(10);
  await engine.send(id, { type: 'finish' });
  await advance(100);
  assert.equal(engine.run(id).state, 'finished');
  assert.equal(engine.run(id).nextAt, null);
  await advance(100_000);
  assert.equal(engine.history(id).length, 2);
});

test('an event with a dedupe key is taken once, also after it was applied', async (t) => {
  const { system, advance } = clock();
  const engine = engineIn(t, tempFolder(t), [timed], { system });
  const { id } = await engine.start(timed, { input: {} as never });
  await advance(10);
  for (let time = 0; time < 3; time++) {
    await engine.send(id, { type: 'poke' }, { dedupe: 'once' });
    await advance(10);
  }
  assert.equal(engine.history(id).filter(({ event }) => event === 'poke').length, 1);
  await assert.rejects(engine.send(String(id), { type: 'xstate.done.actor.x' }), { code: 'usage' });
});
