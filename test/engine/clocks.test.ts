import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setup } from 'xstate';
import { defineMachine } from '#engine/index';
import { input, laboratory, one } from './laboratory.ts';

// Wall clocks are set back and forth, and differ between processes.

test('a wall clock that is set back does not hold up the takeover of dead owners', async (t) => {
  const { boot, clock } = laboratory(t);
  const machine = one();
  const a = boot('a', [one(() => new Promise(() => {}))]);
  const { id } = await a.engine.start(a.machine('one'), { input });
  await clock.advance(1000);
  const b = boot('b', [machine]);
  void b.engine.wait(id).catch(() => {});
  await clock.advance(1000);
  b.clock.skewMs = -3600_000;
  a.die();
  await clock.advance(1000);
  assert.equal(b.engine.run(id).status, 'done');
});

test('an effect that a fast clock has dated starts at once in the process that takes over', async (t) => {
  const { boot, clock } = laboratory(t);
  const a = boot('a', [one(() => new Promise(() => {}))]);
  a.clock.skewMs = 3600_000;
  const { id } = await a.engine.start(a.machine('one'), { input });
  await clock.advance(100);
  a.die();
  const b = boot('b', [one()]);
  await b.engine.resume();
  await clock.advance(100);
  assert.equal(b.engine.run(id).status, 'done');
});

test('a deadline is met within a minute when the wall clock was set forward', async (t) => {
  const { boot, clock } = laboratory(t);
  const machine = setup({ delays: { long: 3600_000 } }).createMachine({
    id: 'late',
    initial: 'waiting',
    states: { waiting: { after: { long: 'over' } }, over: { type: 'final' } },
  });
  const late = defineMachine({ name: 'late', version: 1, machine, actors: {} });
  const a = boot('a', [late]);
  const { id } = await a.engine.start(late, { input });
  await clock.advance(100);
  a.clock.skewMs = 3600_000;
  await clock.advance(61_000);
  assert.equal(a.engine.run(id).status, 'done');
});
