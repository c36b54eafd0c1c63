import assert from 'node:assert/strict';
import { and, assign, not, or, setup, stateIn } from 'xstate';
import { anything, type Feature, gives, liveTwice, loose, made, never, refused } from './live.ts';

const counting = setup({
  types: { context: {} as { count: number } },
  actors: { work: anything() },
  actions: { count: assign({ count: ({ context }) => context.count + 1 }) },
  guards: { many: ({ context }) => context.count > 1, yes: () => true },
  delays: { soon: 50, later: ({ context }) => context.count * 100 },
});
const context = { count: 0 };

export const transitions: Feature[] = [
  {
    name: 'guards: named, inline, `and`, `or`, `not`, `stateIn`',
    verdict: 'durable',
    async prove(t) {
      const machine = counting.createMachine({
        id: 'm',
        context,
        initial: 'low',
        states: {
          low: {
            on: {
              up: [
                {
                  target: 'high',
                  guard: and([not('many'), or(['many', 'yes']), stateIn('low'), () => true]),
                },
                { target: 'wrong' },
              ],
            },
          },
          high: {},
          wrong: {},
        },
      });
      assert.equal((await liveTwice(t, made(machine), [{ type: 'up' }])).state, 'high');
    },
  },
  {
    name: 'a guard, an action or a delay that is named and not there',
    verdict: 'refused',
    prove() {
      const base = setup({ guards: { there: () => true } });
      const having = (state: object) => loose(base, { id: 'm', initial: 'a', states: { a: state, b: {} } });
      refused(having({ on: { go: { target: 'b', guard: 'gone' } } }), /guard 'gone'.*setup\({ guards }\)/);
      refused(having({ on: { go: { target: 'b', guard: not('gone' as never) } } }), /guard 'gone'/);
      refused(having({ always: { target: 'b', guard: 'gone' } }), /guard 'gone'/);
      refused(having({ entry: 'gone' }), /action 'gone'.*setup\({ actions }\)/);
      refused(having({ on: { go: { actions: { type: 'gone' } } } }), /action 'gone'/);
      refused(having({ after: { gone: 'b' } }), /delay 'gone'.*setup\({ delays }\)/);
    },
  },
  {
    name: '`always`',
    verdict: 'durable',
    async prove(t) {
      const machine = counting.createMachine({
        id: 'm',
        context,
        initial: 'low',
        states: {
          low: { on: { up: { actions: 'count' } }, always: { target: 'high', guard: 'many' } },
          high: {},
        },
      });
      const { went } = await liveTwice(t, made(machine), [{ type: 'up' }, { type: 'up' }]);
      assert.deepEqual(went, ['xstate.init -> low', 'up -> low', 'up -> high']);
    },
  },
  {
    name: '`always` or `raise` that never comes to rest',
    verdict: 'refused',
    async prove(t) {
      const machine = counting.createMachine({
        id: 'm',
        context,
        initial: 'calm',
        states: { calm: { on: { spin: 'left' } }, left: { always: 'right' }, right: { always: 'left' } },
      });
      const { status, state, error } = await liveTwice(t, made(machine), [{ type: 'spin' }]);
      assert.deepEqual([status, state], ['parked', 'calm']);
      assert.match(error ?? '', /transition_threw/);
    },
  },
  {
    name: '`after`: a number, a named or a computed delay',
    verdict: 'durable',
    async prove(t) {
      const machine = counting.createMachine({
        id: 'm',
        context: { count: 2 },
        initial: 'number',
        states: {
          number: { after: { 1000: 'named' } },
          named: { after: { soon: 'computed' } },
          computed: { after: { later: 'over' } },
          over: { type: 'final' },
        },
      });
      const { went } = await liveTwice(t, made(machine), [600, 400, 49, 1, 199, 1]);
      assert.deepEqual(went, [
        'xstate.init -> number',
        'xstate.after.1000.m.number -> named',
        'xstate.after.soon.m.named -> computed',
        'xstate.after.later.m.computed -> over',
      ]);
    },
  },
  {
    name: '`reenter`',
    verdict: 'durable',
    async prove(t) {
      const machine = counting.createMachine({
        id: 'm',
        context,
        initial: 'waiting',
        states: {
          waiting: {
            entry: 'count',
            on: { again: { target: 'waiting', reenter: true }, same: { target: 'waiting' } },
            after: { 1000: 'over' },
          },
          over: { type: 'final' },
        },
      });
      const steps = [600, { type: 'again' }, 600, { type: 'same' }, 399];
      const early = await liveTwice(t, made(machine), steps);
      assert.deepEqual([early.state, early.context], ['waiting', { count: 2 }]);
      assert.equal((await liveTwice(t, made(machine), [...steps, 1])).state, 'over');
    },
  },
  {
    name: 'transitions without a target, and forbidden ones',
    verdict: 'durable',
    async prove(t) {
      const machine = counting.createMachine({
        id: 'm',
        context,
        initial: 'inner',
        on: { add: { actions: 'count' } },
        states: { inner: { on: { add: undefined, open: 'outer' } }, outer: {} },
      });
      const { context: after } = await liveTwice(t, made(machine), [
        { type: 'add' },
        { type: 'open' },
        { type: 'add' },
      ]);
      assert.deepEqual(after, { count: 1 });
    },
  },
  {
    name: 'an event that no state takes',
    verdict: 'durable',
    async prove(t) {
      const machine = counting.createMachine({ id: 'm', context, initial: 'a', states: { a: {} } });
      const { went } = await liveTwice(t, made(machine), [{ type: 'whatever', note: 'kept in the history' }]);
      assert.deepEqual(went, ['xstate.init -> a', 'whatever -> a']);
    },
  },
  {
    name: 'wildcard events: `*`, `order.*`',
    verdict: 'different',
    async prove(t) {
      const machine = counting.createMachine({
        id: 'm',
        context,
        initial: 'open',
        states: {
          open: {
            invoke: { id: 'work', src: 'work', input: {} },
            on: { 'order.*': { actions: 'count' }, '*': { target: 'other' } },
          },
          other: {},
        },
      });
      const busy = made(machine, { work: never });
      const counted = await liveTwice(t, busy, [{ type: 'order.paid' }, { type: 'order.sent.late' }]);
      assert.deepEqual([counted.state, counted.context], ['open', { count: 2 }]);
      assert.equal((await liveTwice(t, busy, [{ type: 'else' }])).state, 'other');
      // It takes the ends of effects, too, where nothing else does.
      const ended = await liveTwice(t, made(machine, { work: gives(null) }));
      assert.deepEqual(ended.went, ['xstate.init -> open', 'xstate.done.actor.work -> other']);
    },
  },
];
