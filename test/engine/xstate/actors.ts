import assert from 'node:assert/strict';
import {
  assign,
  enqueueActions,
  forwardTo,
  fromCallback,
  fromEventObservable,
  fromObservable,
  fromPromise,
  fromTransition,
  sendTo,
  setup,
  spawnChild,
  stopChild,
} from 'xstate';
import { unrecoverable } from '#core/errors';
import { anything, type Feature, gives, liveTwice, loose, made, never, refused } from './live.ts';

const base = setup({
  types: { context: {} as { got: unknown; count: number } },
  actors: { work: anything(), other: anything() },
  actions: {
    keep: assign({ got: (_, params: { got: unknown }) => params.got }),
    count: assign({ count: ({ context }) => context.count + 1 }),
    spawn: spawnChild('work', { id: 'spawned', input: {} }),
    stop: stopChild('spawned'),
    forward: forwardTo('child'),
    tell: sendTo('child', { type: 'hello' }),
    tellEffect: sendTo('effect', { type: 'hello' }),
  },
});
const context = { got: null, count: 0 };
const keepOutput = {
  type: 'keep' as const,
  params: ({ event }: { event: { output: unknown } }) => ({ got: event.output }),
};
const keepError = {
  type: 'keep' as const,
  params: ({ event }: { event: { error: unknown } }) => ({ got: (event.error as { code: string }).code }),
};
const invoke = { id: 'effect', src: 'work', input: {} } as const;

/** Ends when it is told `hello`, with how often it heard `more`. */
const child = made(
  setup({
    types: { context: {} as { heard: number }, output: {} as number },
    actions: { hear: assign({ heard: ({ context: { heard } }) => heard + 1 }) },
  }).createMachine({
    id: 'child',
    context: { heard: 0 },
    initial: 'listening',
    states: { listening: { on: { more: { actions: 'hear' }, hello: 'told' } }, told: { type: 'final' } },
    output: ({ context: { heard } }) => heard,
  }),
);

export const actors: Feature[] = [
  {
    name: '`invoke` of an effect, `onDone` and `onError`',
    verdict: 'durable',
    async prove(t) {
      const machine = base.createMachine({
        id: 'm',
        context,
        initial: 'busy',
        states: {
          busy: {
            invoke: {
              ...invoke,
              onDone: { target: 'good', actions: keepOutput },
              onError: { target: 'bad', actions: keepError },
            },
          },
          good: {},
          bad: {},
        },
      });
      const good = await liveTwice(t, made(machine, { work: gives({ deep: [1] }), other: never }));
      assert.deepEqual([good.state, good.context], ['good', { got: { deep: [1] }, count: 0 }]);
      const fails = async () => {
        throw unrecoverable('no_space', 'full');
      };
      const bad = await liveTwice(t, made(machine, { work: fails, other: never }));
      assert.deepEqual([bad.state, bad.context], ['bad', { got: 'no_space', count: 0 }]);
    },
  },
  {
    name: 'an error that no `onError` takes',
    verdict: 'durable',
    async prove(t) {
      const machine = base.createMachine({ id: 'm', context, initial: 'busy', states: { busy: { invoke } } });
      const fails = async () => {
        throw unrecoverable('no_space', 'full');
      };
      const { status, error } = await liveTwice(t, made(machine, { work: fails, other: never }));
      assert.deepEqual([status, error], ['failed', 'no_space: full']);
    },
  },
  {
    name: 'several invokes of one state',
    verdict: 'durable',
    async prove(t) {
      const machine = base.createMachine({
        id: 'm',
        context,
        initial: 'busy',
        states: {
          busy: {
            invoke: [
              { ...invoke, onDone: { actions: 'count' } },
              { id: 'second', src: 'other', input: {}, onDone: { actions: 'count' } },
            ],
            always: { guard: ({ context: { count } }) => count === 2, target: 'over' },
          },
          over: { type: 'final' },
        },
      });
      assert.equal((await liveTwice(t, made(machine, { work: gives(1), other: gives(2) }))).state, 'over');
    },
  },
  {
    name: '`invoke` of a machine',
    verdict: 'durable',
    async prove(t) {
      const machine = base.createMachine({
        id: 'm',
        context,
        initial: 'waiting',
        states: {
          waiting: {
            invoke: { id: 'child', src: 'work', input: {}, onDone: { target: 'over', actions: keepOutput } },
            on: { go: { actions: 'tell' } },
          },
          over: {},
        },
      });
      const { context: after } = await liveTwice(t, made(machine, { work: child, other: never }), [
        { type: 'go' },
        100,
      ]);
      assert.deepEqual(after, { got: 0, count: 0 });
    },
  },
  {
    name: '`sendTo` and `forwardTo` a child that is a machine',
    verdict: 'durable',
    async prove(t) {
      const machine = base.createMachine({
        id: 'm',
        context,
        initial: 'waiting',
        states: {
          waiting: {
            invoke: { id: 'child', src: 'work', input: {}, onDone: { target: 'over', actions: keepOutput } },
            on: { more: { actions: 'forward' }, go: { actions: 'tell' } },
          },
          over: {},
        },
      });
      const steps = [{ type: 'more' }, { type: 'more' }, { type: 'go' }, 100];
      const { context: after } = await liveTwice(t, made(machine, { work: child, other: never }), steps);
      assert.deepEqual(after, { got: 2, count: 0 });
    },
  },
  {
    name: '`sendTo` a child with a delay',
    verdict: 'refused',
    prove() {
      const late = sendTo('child', { type: 'hello' }, { delay: 10 });
      const machine = setup({ actions: { late } }).createMachine({ id: 'm', entry: 'late' });
      refused(machine, /delayed event to a child: use `after`/);
    },
  },
  {
    name: '`sendTo` an effect',
    verdict: 'different',
    async prove(t) {
      const machine = base.createMachine({
        id: 'm',
        context,
        initial: 'busy',
        states: { busy: { invoke, on: { go: { actions: ['tellEffect', 'count'] } } } },
      });
      const { status, context: after } = await liveTwice(t, made(machine, { work: never, other: never }), [
        { type: 'go' },
      ]);
      assert.deepEqual([status, after], ['running', { got: null, count: 1 }]);
    },
  },
  {
    name: '`spawnChild` and `stopChild`, also enqueued',
    verdict: 'durable',
    async prove(t) {
      const machine = loose(
        setup({
          types: { context: {} as { done: string[] } },
          actors: { work: anything() },
          actions: {
            spawnAll: enqueueActions(({ enqueue }) => {
              for (const name of ['a', 'b', 'c'])
                enqueue.spawnChild('work', { id: `work.${name}`, input: { name } });
            }),
            note: assign({ done: ({ context: { done }, event }) => [...done, event.type].sort() }),
            stopC: stopChild('work.c'),
          },
        }),
        {
          id: 'm',
          context: { done: [] },
          entry: 'spawnAll',
          on: { 'xstate.done.actor.*': { actions: 'note' }, stop: { actions: 'stopC' } },
        },
      );
      const work: typeof never = (given) => (given.input.name === 'c' ? never(given) : gives(null)(given));
      const { context: after } = await liveTwice(t, made(machine, { work }), [100, { type: 'stop' }, 100]);
      assert.deepEqual(after, { done: ['xstate.done.actor.work.a', 'xstate.done.actor.work.b'] });
    },
  },
  {
    name: 'children spawned inside context or `assign`',
    verdict: 'refused',
    async prove(t) {
      const inContext = setup({
        types: { context: {} as { ref: unknown } },
        actors: { work: anything() },
      }).createMachine({
        id: 'm',
        context: ({ spawn }) => ({ ref: spawn('work', { id: 'early', input: {} }).id }),
      });
      const inAssign = setup({
        types: { context: {} as { ref: unknown } },
        actors: { work: anything() },
      }).createMachine({
        id: 'm',
        context: { ref: null },
        on: { go: { actions: assign({ ref: ({ spawn }) => spawn('work', { id: 'late', input: {} }).id }) } },
      });
      for (const machine of [inContext, inAssign]) {
        const { status, error } = await liveTwice(t, made(machine, { work: never }), [{ type: 'go' }]);
        assert.equal(status, 'parked');
        assert.match(error ?? '', /machine_refused: .* was spawned inside context/);
      }
    },
  },
  {
    name: '`invoke` and `spawnChild` without an id',
    verdict: 'refused',
    prove() {
      const both = { work: never, other: never };
      refused(
        base.createMachine({ id: 'm', context, invoke: { src: 'work', input: {} } }),
        /without an id/,
        both,
      );
      const entry = spawnChild('work', { input: {} }) as never;
      refused(loose(base, { id: 'm', context, entry }), /without an id/, both);
    },
  },
  {
    name: 'inline actor logic',
    verdict: 'refused',
    prove() {
      const src = fromPromise(async () => 1);
      refused(loose(setup({}), { id: 'm', invoke: { id: 'x', src } }), /inline logic: name it/);
      refused(
        loose(setup({}), { id: 'm', entry: spawnChild(src as never, { id: 'x' } as never) }),
        /inline logic: name it/,
      );
    },
  },
  {
    name: 'an actor without an implementation',
    verdict: 'refused',
    prove() {
      const machine = base.createMachine({ id: 'm', context, invoke });
      refused(machine, /no implementation in `actors`/, {});
      refused(base.createMachine({ id: 'm', context, entry: 'spawn' }), /no implementation in `actors`/, {});
    },
  },
  ...(
    [
      ['`fromPromise` with code in setup()', fromPromise(async () => 1)],
      ['`fromCallback`', fromCallback(() => {})],
      [
        '`fromObservable` and `fromEventObservable`',
        fromObservable(() => ({ subscribe: () => ({ unsubscribe() {} }) })),
      ],
      ['`fromTransition`', fromTransition((state) => state, {})],
    ] as const
  ).map(
    ([name, logic]): Feature => ({
      name,
      verdict: 'refused',
      prove() {
        const events = fromEventObservable(() => ({ subscribe: () => ({ unsubscribe() {} }) }));
        for (const src of name.includes('Event') ? [logic, events] : [logic])
          refused(
            loose(setup({ actors: { work: src } } as never), {
              id: 'm',
              invoke: { id: 'work', src: 'work' },
            }),
            /code of its own.*effect<Input, Output>\(\)/,
            { work: never },
          );
      },
    }),
  ),
  {
    name: 'a machine as actor logic in setup()',
    verdict: 'refused',
    prove: () =>
      refused(
        setup({ actors: { work: child.machine } }).createMachine({
          id: 'm',
          invoke: { id: 'w', src: 'work' },
        }),
        /name its definition in `actors`/,
        { work: child },
      ),
  },
  {
    name: '`systemId`',
    verdict: 'refused',
    prove() {
      const both = { work: never, other: never };
      refused(
        base.createMachine({ id: 'm', context, invoke: { ...invoke, systemId: 'printer' } }),
        /systemId.*send to it by its id/,
        both,
      );
      const entry = spawnChild('work', { id: 'x', systemId: 'printer', input: {} });
      refused(loose(base, { id: 'm', context, entry }), /systemId/, both);
    },
  },
  {
    name: '`onSnapshot` and `syncSnapshot`',
    verdict: 'refused',
    prove() {
      const both = { work: never, other: never };
      const onSnapshot = { actions: 'count' as const };
      refused(
        base.createMachine({ id: 'm', context, invoke: { ...invoke, onSnapshot } }),
        /snapshots of/,
        both,
      );
      const entry = spawnChild('work', { id: 'x', syncSnapshot: true, input: {} });
      refused(loose(base, { id: 'm', context, entry }), /snapshots of/, both);
    },
  },
  {
    name: '`machine.provide()`',
    verdict: 'durable',
    async prove(t) {
      const machine = setup({ guards: { open: () => false } }).createMachine({
        id: 'm',
        initial: 'shut',
        states: { shut: { on: { go: { target: 'through', guard: 'open' } } }, through: {} },
      });
      const provided = machine.provide({ guards: { open: () => true } });
      assert.equal((await liveTwice(t, made(machine), [{ type: 'go' }])).state, 'shut');
      assert.equal((await liveTwice(t, made(provided), [{ type: 'go' }])).state, 'through');
    },
  },
];
