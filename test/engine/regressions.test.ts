import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assign, setup } from 'xstate';
import { recoverable } from '#core/errors';
import { type Definition, defineMachine, type Effect, effect, type Json } from '#engine/index';
import { type SimulatedProcess, sqliteError } from '#engine/testing/index';
import { carefulMachine, input, laboratory, type None, one, unknownCommit } from './laboratory.ts';

// Faults of the engine that the simulation has found, each as the shortest story that shows it.

test('a process whose first write met a locked database can start runs later', async (t) => {
  const { boot, clock } = laboratory(t);
  const machine = one();
  let locked = 1;
  const a = boot('a', [machine], {
    begin() {
      if (locked-- > 0) throw recoverable('database_busy', 'locked');
    },
  });
  await assert.rejects(a.engine.start(machine, { input }), { code: 'database_busy' });
  const { id } = await a.engine.start(machine, { input });
  await clock.advance(100);
  assert.equal(a.engine.run(id).status, 'done');
});

test('a start whose COMMIT was durable and said that it failed is moved all the same', async (t) => {
  const { boot, clock } = laboratory(t);
  const machine = one();
  const unknown = unknownCommit(Number.POSITIVE_INFINITY);
  const a = boot('a', [machine], unknown);
  await a.engine.start(machine, { input, id: 'first' });
  await clock.advance(1000);
  unknown.left = 1;
  await assert.rejects(a.engine.start(machine, { input, id: 'second' }), { code: 'database_failed' });
  await clock.advance(3000);
  assert.deepEqual(await a.engine.start(machine, { input, id: 'second' }), { id: 'second', joined: true });
  assert.equal(a.engine.run('second').status, 'done');
});

test('a takeover whose COMMIT was durable and said that it failed is one', async (t) => {
  const { boot, clock } = laboratory(t);
  const a = boot('a', [one(() => new Promise(() => {}))]);
  const { id } = await a.engine.start(a.machine('one'), { input });
  await clock.advance(100);
  a.die();
  const unknown = unknownCommit(2);
  const b = boot('b', [one()], unknown);
  await assert.rejects(b.engine.resume(), { code: 'database_failed' });
  assert.equal(b.engine.run(id).owner, b.token);
  await b.engine.resume();
  await clock.advance(3000);
  assert.equal(b.engine.run(id).status, 'done');
});

const familyMachine = setup({ actors: { child: effect<None, Json>() } }).createMachine({
  id: 'family',
  initial: 'waiting',
  states: {
    waiting: { invoke: { id: 'child', src: 'child', input: {}, onDone: 'over', onError: 'over' } },
    over: { type: 'final' },
  },
});
const family = (child: Definition<None, Json>) =>
  defineMachine({ name: 'family', version: 1, machine: familyMachine, actors: { child } });

test('children that began with a COMMIT of unknown outcome are moved', async (t) => {
  const { boot, clock } = laboratory(t);
  const machine = family(one());
  const unknown = unknownCommit(Number.POSITIVE_INFINITY);
  const a = boot('a', [machine], unknown);
  const { id } = await a.engine.start(machine, { input });
  unknown.left = 1;
  await clock.advance(5000);
  assert.equal(unknown.left < 1, true);
  assert.equal(a.engine.run(id).status, 'done');
});

test('a place in a queue that was taken with a COMMIT of unknown outcome is used', async (t) => {
  const { boot, clock } = laboratory(t);
  const queued = { ...one(), queue: 'places' };
  const unknown = unknownCommit(Number.POSITIVE_INFINITY);
  const a = boot('a', [queued], unknown, { places: 1 });
  const { id: first } = await a.engine.start(queued, { input });
  await clock.advance(1000);
  assert.equal(a.engine.run(first).status, 'done');
  // The first COMMIT is the start, the second takes the place.
  unknown.left = 2;
  await a.engine.start(queued, { input, id: 'second' });
  assert.equal(unknown.left, 0);
  await clock.advance(3000);
  assert.equal(a.engine.run('second').status, 'done');
});

test('a run that waits for a person gives its place in the queue to the next', async (t) => {
  const { boot, clock } = laboratory(t);
  const queued = (name: string, work: Effect<None, Json>) => ({ ...one(work, name), queue: 'places' });
  let fail = (): void => {};
  const failing = new Promise<Json>((_, reject) => {
    fail = () => reject(recoverable('source_unavailable', 'down'));
  });
  const broken = queued('broken', () => failing);
  const sound = queued('sound', async () => null);
  const a = boot('a', [broken, sound], {}, { places: 1 });
  const first = await a.engine.start(broken, { input });
  const second = await a.engine.start(sound, { input });
  await clock.advance(3000);
  assert.equal(a.engine.run(second.id).status, 'waiting');
  fail();
  await clock.advance(3000);
  assert.equal(a.engine.run(first.id).status, 'parked');
  assert.equal(a.engine.run(second.id).status, 'done');
});

const gateMachine = setup({
  types: { events: {} as { type: 'open' } | { type: 'flyd.cancel' } },
}).createMachine({
  id: 'gate',
  initial: 'shut',
  states: {
    shut: { on: { open: 'opened', 'flyd.cancel': 'cancelled' } },
    opened: { type: 'final' },
    cancelled: { type: 'final', tags: ['cancelled'] },
  },
});
const gate = defineMachine({ name: 'gate', version: 1, machine: gateMachine, actors: {} });

test('a run hears its next event though the place of a child of another could not be taken', async (t) => {
  const { boot, clock } = laboratory(t);
  const queued = { ...one(), queue: 'places' };
  const parent = family(queued);
  const unknown = unknownCommit(Number.POSITIVE_INFINITY);
  const a = boot('a', [parent, gate], unknown, { places: 1 });
  const { id } = await a.engine.start(gate, { input });
  await clock.advance(1000);
  // The start, the event, the tick of both, and then the place: what is left to do for the gate comes after it.
  unknown.left = 4;
  const { id: other } = await a.engine.start(parent, { input });
  await a.engine.send(String(id), { type: 'knock' });
  await clock.advance(10);
  assert.equal(unknown.left, 0);
  await a.engine.send(id, { type: 'open' });
  await clock.advance(3000);
  assert.equal(a.engine.run(id).status, 'done');
  assert.equal(a.engine.run(other).status, 'done');
});

for (const [what, ask, status] of [
  ['an event', (a: SimulatedProcess, id: string) => a.engine.send(id, { type: 'open' }), 'done'],
  ['a cancel', (a: SimulatedProcess, id: string) => a.engine.cancel(id), 'cancelled'],
] as const)
  test(`${what} whose COMMIT was durable and said that it failed is heard`, async (t) => {
    const { boot, clock } = laboratory(t);
    const unknown = unknownCommit(Number.POSITIVE_INFINITY);
    const a = boot('a', [gate], unknown);
    const { id } = await a.engine.start(gate, { input });
    await clock.advance(100);
    unknown.left = 1;
    await assert.rejects(ask(a, id), { code: 'database_failed' });
    await clock.advance(3000);
    assert.equal(a.engine.run(id).status, status);
  });

test('after a failed commit an effect starts again only when its last attempt has wound down', async (t) => {
  const { boot, clock } = laboratory(t);
  const running = new Set<string>();
  let most = 0;
  let finish = (): void => {};
  const slow = one(async ({ effectId, attempt, signal }) => {
    const name = `${effectId} ${attempt} ${running.size}`;
    running.add(name);
    most = Math.max(most, running.size);
    await new Promise<void>((resolve) => {
      finish = resolve;
      if (signal.aborted) resolve();
    });
    running.delete(name);
    return null;
  });
  let fail = false;
  const a = boot('a', [slow, gate], {
    commit(_, commit) {
      if (fail) {
        fail = false;
        throw sqliteError('SQLITE_FULL');
      }
      commit();
    },
  });
  const { id } = await a.engine.start(slow, { input });
  await clock.advance(100);
  // Any mail of the run will do: its commit fails, and the run is read anew.
  await a.engine.retry(id);
  fail = true;
  await clock.advance(5000);
  assert.equal(fail, false);
  assert.equal(most, 1);
  finish();
  await clock.advance(5000);
  finish();
  await clock.advance(5000);
  assert.equal(a.engine.run(id).status, 'done');
  assert.equal(most, 1);
});

test('a cancel waits for a state that takes it, also over a change of owner', async (t) => {
  const { boot, clock } = laboratory(t);
  const calls: string[] = [];
  const never = (): Promise<Json> => new Promise(() => {});
  const careful = (pay: Effect<None, Json>) =>
    defineMachine({
      name: 'careful',
      version: 1,
      machine: carefulMachine,
      actors: {
        pay,
        ship: ({ signal }) =>
          new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
        refund: async () => {
          calls.push('refund');
          return null;
        },
      },
    });
  const a = boot('a', [careful(never)]);
  const { id } = await a.engine.start(a.machine('careful'), { input });
  await clock.advance(100);
  await a.engine.cancel(id);
  await clock.advance(1000);
  assert.equal(a.engine.run(id).state, 'paying');
  a.die();
  const b = boot('b', [careful(async () => null)]);
  await b.engine.resume();
  await clock.advance(1000);
  assert.equal(b.engine.run(id).status, 'cancelled');
  assert.equal(b.engine.run(id).state, 'cancelled');
  assert.deepEqual(calls, ['refund']);
});

test('a machine that does nothing on a cancel, anywhere, just stops', async (t) => {
  const { boot, clock } = laboratory(t);
  const machine = one(() => new Promise(() => {}));
  const a = boot('a', [machine]);
  const { id } = await a.engine.start(machine, { input });
  await clock.advance(100);
  await a.engine.cancel(id);
  await clock.advance(100);
  assert.equal(a.engine.run(id).status, 'cancelled');
});

const pairMachine = setup({ actors: { child: effect<None, Json>() } }).createMachine({
  id: 'pair',
  initial: 'waiting',
  states: {
    waiting: {
      invoke: [
        { id: 'left', src: 'child', input: {}, onDone: 'over' },
        { id: 'right', src: 'child', input: {}, onDone: 'over' },
      ],
    },
    over: { type: 'final' },
  },
});

test('a run that has ended keeps no results of its children', async (t) => {
  const { boot, clock, rows } = laboratory(t);
  const machine = defineMachine({ name: 'pair', version: 1, machine: pairMachine, actors: { child: one() } });
  const a = boot('a', [machine]);
  const { id } = await a.engine.start(machine, { input });
  await clock.advance(1000);
  assert.equal(a.engine.run(id).status, 'done');
  assert.deepEqual(rows("SELECT event FROM events WHERE direction = 'in' AND applied IS NULL"), []);
});

const fragileMachine = (isBroken: () => boolean) =>
  setup({
    types: { events: {} as { type: 'shake' } },
    actors: { work: effect<None, Json>() },
    actions: {
      shake: assign(() => {
        if (isBroken()) throw new Error('a bug');
        return {};
      }),
    },
  }).createMachine({
    id: 'fragile',
    context: {},
    initial: 'working',
    states: {
      working: {
        on: { shake: { actions: 'shake' } },
        invoke: { id: 'work', src: 'work', input: {}, onDone: 'worked' },
      },
      worked: { type: 'final' },
    },
  });

test('an effect that ended while its run was parked is not started again by the retry', async (t) => {
  const { boot, clock } = laboratory(t);
  let broken = true;
  let starts = 0;
  let finish = (): void => {};
  const machine = defineMachine({
    name: 'fragile',
    version: 1,
    machine: fragileMachine(() => broken),
    actors: {
      work: () => {
        starts += 1;
        return new Promise<Json>((resolve) => {
          finish = () => resolve(null);
        });
      },
    },
  });
  const a = boot('a', [machine]);
  const { id } = await a.engine.start(machine, { input });
  await clock.advance(100);
  await a.engine.send(id, { type: 'shake' });
  await clock.advance(100);
  assert.equal(a.engine.run(id).error?.code, 'transition_threw');
  finish();
  await clock.advance(100);
  broken = false;
  await a.engine.retry(id);
  await clock.advance(100);
  assert.equal(a.engine.run(id).status, 'done');
  assert.equal(starts, 1);
});
