import assert from 'node:assert/strict';
import { assign, setup } from 'xstate';
import { type Feature, liveTwice, made } from './live.ts';

const on = (event: string, target: string) => ({ on: { [event]: target } });

export const states: Feature[] = [
  {
    name: 'nested states',
    verdict: 'durable',
    async prove(t) {
      const machine = setup({}).createMachine({
        id: 'm',
        initial: 'day',
        states: {
          day: {
            initial: 'morning',
            states: { morning: on('next', 'noon'), noon: {} },
            on: { dusk: 'night' },
          },
          night: { type: 'final' },
        },
      });
      const { went, status } = await liveTwice(t, made(machine), [{ type: 'next' }, { type: 'dusk' }]);
      assert.deepEqual(went, ['xstate.init -> day.morning', 'next -> day.noon', 'dusk -> night']);
      assert.equal(status, 'done');
    },
  },
  {
    name: 'parallel states',
    verdict: 'durable',
    async prove(t) {
      const region = (event: string) => ({
        initial: 'off',
        states: { off: on(event, 'on'), on: { type: 'final' as const } },
      });
      const machine = setup({}).createMachine({
        id: 'm',
        initial: 'both',
        states: {
          both: { type: 'parallel', states: { left: region('l'), right: region('r') }, onDone: 'over' },
          over: { type: 'final' },
        },
      });
      const { went, status } = await liveTwice(t, made(machine), [{ type: 'r' }, { type: 'l' }]);
      assert.deepEqual(went, [
        'xstate.init -> both.left.off+right.off',
        'r -> both.left.off+right.on',
        'l -> over',
      ]);
      assert.equal(status, 'done');
    },
  },
  {
    name: 'history states, shallow and deep',
    verdict: 'durable',
    async prove(t) {
      const machine = setup({}).createMachine({
        id: 'm',
        initial: 'work',
        states: {
          work: {
            initial: 'first',
            states: {
              first: on('next', 'second'),
              second: { initial: 'calm', states: { calm: on('hurry', 'busy'), busy: {} } },
              last: { type: 'history' },
              deepest: { type: 'history', history: 'deep' },
            },
            on: { rest: 'pause' },
          },
          pause: { on: { shallow: 'work.last', deep: 'work.deepest' } },
        },
      });
      const start = [{ type: 'next' }, { type: 'hurry' }, { type: 'rest' }];
      const shallow = await liveTwice(t, made(machine), [...start, { type: 'shallow' }]);
      assert.equal(shallow.state, 'work.second.calm');
      const deep = await liveTwice(t, made(machine), [...start, { type: 'deep' }]);
      assert.equal(deep.state, 'work.second.busy');
    },
  },
  {
    name: 'final states and output',
    verdict: 'durable',
    async prove(t) {
      const error = { kind: 'unrecoverable', code: 'no_space', message: 'full' };
      const end = (tags: string[]) => ({ type: 'final' as const, tags });
      const machine = setup({
        types: { output: {} as { error: object } },
      }).createMachine({
        id: 'm',
        initial: 'open',
        states: {
          open: { on: { good: 'good', bad: 'bad', off: 'off' } },
          good: end([]),
          bad: end(['failed']),
          off: end(['cancelled']),
        },
        output: { error },
      });
      const ended = async (type: string) => liveTwice(t, made(machine), [{ type }]);
      const [good, bad, off] = [await ended('good'), await ended('bad'), await ended('off')];
      assert.deepEqual([good.status, bad.status, off.status], ['done', 'failed', 'cancelled']);
      assert.deepEqual(good.output, { error });
      assert.equal(bad.error, 'no_space: full');
    },
  },
  {
    name: 'onDone of compound and parallel states',
    verdict: 'durable',
    async prove(t) {
      const machine = setup({ types: { context: {} as { got: unknown } } }).createMachine({
        id: 'm',
        context: { got: null },
        initial: 'asking',
        states: {
          asking: {
            initial: 'open',
            states: { open: on('answer', 'answered'), answered: { type: 'final', output: 42 } },
            onDone: { target: 'over', actions: assign({ got: ({ event }) => event.output }) },
          },
          over: { type: 'final' },
        },
      });
      const { context, went } = await liveTwice(t, made(machine), [{ type: 'answer' }]);
      assert.deepEqual(context, { got: 42 });
      assert.deepEqual(went, ['xstate.init -> asking.open', 'answer -> over']);
    },
  },
  {
    name: 'context, also computed from input',
    verdict: 'durable',
    async prove(t) {
      const machine = setup({
        types: { context: {} as { words: string[] }, input: {} as { word: string } },
      }).createMachine({
        id: 'm',
        context: ({ input }) => ({ words: [input.word] }),
        on: { add: { actions: assign({ words: ({ context }) => [...context.words, 'more'] }) } },
      });
      const { context } = await liveTwice(t, made(machine), [{ type: 'add' }, { type: 'add' }], {
        word: 'first',
      });
      assert.deepEqual(context, { words: ['first', 'more', 'more'] });
    },
  },
  {
    name: 'context that is no JSON: Date, Map, class, NaN, function',
    verdict: 'refused',
    async prove(t) {
      for (const [value, what] of [
        [new Date(0), /Date/],
        [new Map(), /Map/],
        [Number.NaN, /NaN/],
        [() => {}, /function/],
        [1n, /bigint/],
      ] as const) {
        const machine = setup({ types: { context: {} as { at: unknown } } }).createMachine({
          id: 'm',
          context: { at: value },
        });
        const { status, error } = await liveTwice(t, made(machine));
        assert.equal(status, 'parked');
        assert.match(error ?? '', /not_serialisable: .*snapshot\.context\.at/);
        assert.match(error ?? '', what);
      }
    },
  },
  {
    name: 'meta and description',
    verdict: 'different',
    async prove(t) {
      const machine = setup({}).createMachine({
        id: 'm',
        description: 'a door',
        initial: 'shut',
        states: { shut: { meta: { colour: 'red' }, description: 'nobody comes in' } },
      });
      const definition = made(machine);
      const { context } = await liveTwice(t, definition);
      assert.doesNotMatch(JSON.stringify(context), /red/);
      assert.deepEqual(definition.machine.root.states.shut?.meta, { colour: 'red' });
    },
  },
];
