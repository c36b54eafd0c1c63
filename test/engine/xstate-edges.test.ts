import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assign, raise, setup } from 'xstate';
import { effect, type Json } from '#engine/index';
import { laboratory } from './laboratory.ts';
import { anything, type Life, liveTwice, loose, made, never } from './xstate/live.ts';

// Where XState 5.33 by itself loses or doubles something when its snapshots are stored and restored. What
// docs/engine-xstate.md has a row for is proven there; here is what lies between the rows.

const parked = ({ status, error }: Life): string =>
  status === 'parked' ? (error ?? '') : `not parked: ${status}`;
const counting = setup({
  types: { context: {} as { count: number } },
  actors: { work: anything() },
  actions: { count: assign({ count: ({ context }) => context.count + 1 }) },
});

test('XState cancels and raises one deadline on re-entry: the new one lives', async (t) => {
  const machine = counting.createMachine({
    id: 'm',
    context: { count: 0 },
    initial: 'ticking',
    states: { ticking: { after: { 100: { target: 'ticking', reenter: true, actions: 'count' } } } },
  });
  const { context } = await liveTwice(t, made(machine), [100, 100, 100]);
  assert.deepEqual(context, { count: 3 });
});

test('XState leaves delayed raises of an ended machine behind, and all deadlines of a failed one', async (t) => {
  const { boot, clock, rows } = laboratory(t);
  const actions = { later: raise({ type: 'tick' }, { delay: 50 }) };
  const ending = setup({ actions }).createMachine({
    id: 'ending',
    initial: 'open',
    entry: 'later',
    states: { open: { on: { go: 'shut' }, after: { 60: 'shut' } }, shut: { type: 'final' } },
  });
  const failing = setup({ actions, actors: { work: effect<Record<string, Json>, Json>() } }).createMachine({
    id: 'failing',
    entry: 'later',
    invoke: { id: 'work', src: 'work', input: {} },
    after: { 60: {} },
  });
  const fails = async () => {
    throw Object.assign(new Error('no'), { kind: 'unrecoverable', code: 'no_space' });
  };
  const machines = [made(ending), made(failing, { work: fails })];
  const { engine, machine } = { ...laboratoryOf(boot('a', machines)) };
  await engine.start(machine('ending'), { id: 'e', input: {} });
  await engine.start(machine('failing'), { id: 'f', input: {} });
  await clock.advance(1);
  await engine.send('e', { type: 'go' });
  await clock.advance(1);
  assert.deepEqual([engine.run('e').status, engine.run('f').status], ['done', 'failed']);
  assert.deepEqual(rows('SELECT * FROM timers'), []);
});

const laboratoryOf = (process: ReturnType<ReturnType<typeof laboratory>['boot']>) => ({
  engine: process.engine,
  machine: (name: string) => process.machine(name),
});

test('XState takes the result of an earlier entry: here it belongs to nobody', async (t) => {
  const { boot, clock } = laboratory(t);
  const answers: ((answer: Json) => void)[] = [];
  // Goes on after it was told to stop, and answers all the same.
  const deaf = () => new Promise<Json>((resolve) => answers.push(resolve));
  const machine = setup({
    types: { context: {} as { got: unknown } },
    actors: { work: anything() },
  }).createMachine({
    id: 'm',
    context: { got: null },
    initial: 'busy',
    states: {
      busy: {
        on: { again: { target: 'busy', reenter: true } },
        invoke: {
          id: 'work',
          src: 'work',
          input: {},
          onDone: { target: 'over', actions: assign({ got: ({ event }) => event.output }) },
        },
      },
      over: {},
    },
  });
  const { engine, machine: find } = laboratoryOf(boot('a', [made(machine, { work: deaf })]));
  await engine.start(find('m'), { id: 'r', input: {} });
  await clock.advance(1);
  await engine.send('r', { type: 'again' });
  await clock.advance(1);
  answers[0]?.('old');
  await clock.advance(1);
  assert.equal(engine.run('r').state, 'busy');
  answers[1]?.('new');
  await clock.advance(1);
  assert.equal(engine.run('r').state, 'over');
  const last = engine.history('r').at(-1);
  assert.deepEqual((engine.snapshotAt('r', last?.seq ?? 0) as { context: Json }).context, { got: 'new' });
});

test('XState evaluates the input of a child in the transition: it is stored, and never computed again', async (t) => {
  const { boot, clock } = laboratory(t);
  let computed = 0;
  const inputs: Json[] = [];
  const machine = setup({ actors: { work: anything() } }).createMachine({
    id: 'm',
    invoke: {
      id: 'work',
      src: 'work',
      input: () => {
        computed += 1;
        return { computed };
      },
    },
  });
  const definition = made(machine, {
    work: (given: Parameters<typeof never>[0]) => {
      inputs.push(given.input);
      return never(given);
    },
  });
  const first = boot('a', [definition]);
  await first.engine.start(first.machine('m'), { id: 'r', input: {} });
  await clock.advance(1);
  // (By XState itself it is computed twice.)
  const before = computed;
  first.die();
  await boot('b', [definition]).engine.resume();
  await clock.advance(1);
  assert.equal(computed, before);
  assert.deepEqual(inputs, [{ computed }, { computed }]);
});

test('XState throws out of a transition, or hides it in the first snapshot: either parks the run', async (t) => {
  const boom = (): never => {
    throw new Error('boom');
  };
  const first = loose(counting, { id: 'm', context: boom });
  assert.match(parked(await liveTwice(t, made(first))), /transition_threw/);
  const guard = loose(counting, {
    id: 'm',
    context: { count: 0 },
    on: { go: { guard: boom, actions: 'count' } },
  });
  const { went, ...life } = await liveTwice(t, made(guard), [{ type: 'go' }]);
  assert.match(parked({ ...life, went }), /transition_threw/);
  assert.deepEqual(life.context, { count: 0 });
  const input = loose(counting, {
    id: 'm',
    context: { count: 0 },
    initial: 'a',
    states: { a: { on: { go: 'b' } }, b: { invoke: { id: 'work', src: 'work', input: boom } } },
  });
  const before = await liveTwice(t, made(input, { work: never }), [{ type: 'go' }]);
  assert.match(parked(before), /transition_threw/);
  assert.equal(before.state, 'a');
});

test('XState keeps the snapshot of a child as it began: a view asks the child itself', async (t) => {
  const child = made(
    setup({}).createMachine({
      id: 'child',
      initial: 'young',
      states: { young: { on: { grow: 'old' } }, old: { type: 'final' } },
    }),
  );
  const parent = setup({ actors: { child: anything() } }).createMachine({
    id: 'm',
    initial: 'a',
    states: {
      a: {
        invoke: { id: 'child', src: 'child', input: {}, onDone: { actions: raise({ type: 'seen' }) } },
        on: { seen: {} },
      },
    },
  });
  const { boot, clock } = laboratory(t);
  const { engine, machine } = laboratoryOf(boot('a', [made(parent, { child })]));
  await engine.start(machine('m'), { id: 'r', input: {} });
  await clock.advance(1);
  const [below] = engine.children('r');
  assert.equal(below?.run.state, 'young');
  await engine.send(String(below?.run.id), { type: 'grow' });
  await clock.advance(100);
  assert.equal(engine.run(String(below?.run.id)).status, 'done');
  assert.equal(engine.history('r').at(-1)?.event, 'xstate.done.actor.child');
  assert.equal(engine.run('r').status, 'waiting');
});

test('XState flattens errors to {}: code, message and cause reach the machine and the view', async (t) => {
  const machine = setup({
    types: { context: {} as { error: unknown } },
    actors: { work: anything() },
  }).createMachine({
    id: 'm',
    context: { error: null },
    initial: 'busy',
    states: {
      busy: {
        invoke: {
          id: 'work',
          src: 'work',
          input: {},
          onError: { target: 'failed', actions: assign({ error: ({ event }) => event.error }) },
        },
      },
      failed: {},
    },
  });
  const fails = async () => {
    throw Object.assign(new Error('full', { cause: new Error('disk') }), {
      kind: 'unrecoverable',
      code: 'no_space',
    });
  };
  const { context } = await liveTwice(t, made(machine, { work: fails }));
  const { error } = context as { error: { code: string; message: string; cause: { message: string } } };
  assert.deepEqual([error.code, error.message, error.cause.message], ['no_space', 'full', 'disk']);
});

test('a bare `*` does not swallow a cancel: the run ends, or a state that names the cancel hears it', async (t) => {
  for (const [name, other, ends] of [
    ['nowhere', {}, 'waiting'],
    ['later', { on: { 'flyd.cancel': 'undone' } }, 'undone'],
  ] as const) {
    const machine = loose(counting, {
      id: name,
      context: { count: 0 },
      initial: 'waiting',
      states: {
        waiting: { on: { '*': { actions: 'count' }, on: 'later' } },
        later: other,
        undone: { type: 'final', tags: ['cancelled'] },
      },
    });
    const { boot, clock } = laboratory(t);
    const { engine, machine: find } = laboratoryOf(boot('a', [made(machine)]));
    await engine.start(find(name), { id: 'r', input: {} });
    await clock.advance(1);
    await engine.cancel('r');
    await clock.advance(1);
    if (name === 'later') {
      assert.equal(engine.run('r').status, 'waiting');
      await engine.send('r', { type: 'on' });
      await clock.advance(1);
    }
    assert.deepEqual([engine.run('r').status, engine.run('r').state], ['cancelled', ends]);
  }
});
