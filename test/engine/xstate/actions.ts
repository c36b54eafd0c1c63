import assert from 'node:assert/strict';
import {
  assign,
  cancel,
  emit,
  enqueueActions,
  log,
  raise,
  sendParent,
  sendTo,
  setup,
  stopChild,
} from 'xstate';
import { type Feature, liveTwice, loose, made, refused } from './live.ts';

type Tick = { type: string };
const base = setup({
  types: { context: {} as { seen: string[] }, events: {} as Tick, emitted: {} as { type: 'rang' } },
  actions: {
    see: assign({ seen: ({ context, event }) => [...context.seen, event.type] }),
    raiseNow: raise({ type: 'inner' }),
    raiseLater: raise({ type: 'later' }, { delay: 100, id: 'alarm' }),
    cancelAlarm: cancel('alarm'),
    toSelf: sendTo(({ self }) => self, { type: 'own' }),
    toSelfLater: sendTo(({ self }) => self, { type: 'own' }, { delay: 100 }),
    ring: emit({ type: 'rang' }),
    say: log('aloud'),
    several: enqueueActions(({ enqueue, check }) => {
      enqueue.assign({ seen: ({ context }) => [...context.seen, 'enqueued'] });
      if (check(() => true)) enqueue.raise({ type: 'inner' });
    }),
  },
});
const context = { seen: [] };
const listening = (on: object, entry: readonly string[] = []) =>
  loose(base, { id: 'm', context, initial: 'a', states: { a: { entry, on } } });
const see = { actions: 'see' };

export const actions: Feature[] = [
  {
    name: '`assign`, named or inline',
    verdict: 'durable',
    async prove(t) {
      const inline = loose(base, {
        id: 'm',
        context,
        on: { a: { actions: assign({ seen: ['inline'] }) }, b: see },
      });
      const { context: after } = await liveTwice(t, made(inline), [{ type: 'a' }, { type: 'b' }]);
      assert.deepEqual(after, { seen: ['inline', 'b'] });
    },
  },
  {
    name: '`raise` without a delay',
    verdict: 'durable',
    async prove(t) {
      const machine = listening({ go: { actions: ['raiseNow', 'see'] }, inner: see });
      const { context: after, went } = await liveTwice(t, made(machine), [{ type: 'go' }]);
      // Taken in the very commit of its cause, and once.
      assert.deepEqual(after, { seen: ['go', 'inner'] });
      assert.deepEqual(went, ['xstate.init -> a', 'go -> a']);
    },
  },
  {
    name: '`raise` with a delay, and `cancel`',
    verdict: 'durable',
    async prove(t) {
      const machine = listening({ later: see, stop: { actions: 'cancelAlarm' } }, ['raiseLater']);
      const rung = await liveTwice(t, made(machine), [99, 1]);
      assert.deepEqual(rung.context, { seen: ['later'] });
      const stopped = await liveTwice(t, made(machine), [50, { type: 'stop' }, 200]);
      assert.deepEqual(stopped.context, { seen: [] });
    },
  },
  {
    name: '`sendTo` itself',
    verdict: 'durable',
    async prove(t) {
      const machine = listening({ go: { actions: ['toSelf', 'see'] }, own: see });
      const { context: after, went } = await liveTwice(t, made(machine), [{ type: 'go' }]);
      assert.deepEqual(after, { seen: ['go', 'own'] });
      assert.deepEqual(went, ['xstate.init -> a', 'go -> a', 'own -> a']);
      const late = await liveTwice(t, made(listening({ own: see }, ['toSelfLater'])), [99, 1]);
      assert.deepEqual(late.context, { seen: ['own'] });
    },
  },
  {
    name: '`sendParent`',
    verdict: 'refused',
    prove: () =>
      refused(
        setup({ actions: { up: sendParent({ type: 'news' }) } }).createMachine({ id: 'm', entry: 'up' }),
        /sends to its parent.*end with an output/,
      ),
  },
  {
    name: '`emit`',
    verdict: 'durable',
    async prove(t) {
      const { emitted } = await liveTwice(t, made(listening({ go: { actions: 'ring' } })), [{ type: 'go' }]);
      assert.deepEqual(emitted, ['rang']);
    },
  },
  {
    name: '`log`',
    verdict: 'different',
    async prove(t) {
      const original = console.log;
      const said: unknown[] = [];
      console.log = (...words) => void said.push(...words);
      try {
        const { went } = await liveTwice(t, made(listening({ go: { actions: 'say' } })), [{ type: 'go' }]);
        assert.deepEqual(went, ['xstate.init -> a', 'go -> a']);
        assert.deepEqual(said, []);
      } finally {
        console.log = original;
      }
    },
  },
  {
    name: '`enqueueActions`',
    verdict: 'durable',
    async prove(t) {
      const machine = listening({ go: { actions: 'several' }, inner: see });
      const { context: after } = await liveTwice(t, made(machine), [{ type: 'go' }]);
      assert.deepEqual(after, { seen: ['enqueued', 'inner'] });
    },
  },
  {
    name: 'plain functions as actions, named or inline',
    verdict: 'refused',
    async prove(t) {
      const shout = () => {};
      refused(
        setup({ actions: { shout } }).createMachine({ id: 'm', entry: 'shout' }),
        /invoke an actor instead/,
      );
      for (const where of [
        { entry: shout },
        { exit: shout },
        { on: { go: { actions: shout } } },
        { always: { actions: shout, guard: () => true } },
        { initial: { target: 'inner', actions: shout }, states: { inner: {} } },
      ])
        refused(loose(setup({}), { id: 'm', initial: 'a', states: { a: where } }), /inline action/);
      // One that is only seen when it is enqueued parks the run.
      const hidden = setup({
        actions: { several: enqueueActions(({ enqueue }) => enqueue(shout)) },
      }).createMachine({ id: 'm', on: { go: { actions: 'several' } } });
      const { status, error } = await liveTwice(t, made(hidden), [{ type: 'go' }]);
      assert.equal(status, 'parked');
      assert.match(error ?? '', /machine_refused/);
    },
  },
  {
    name: '`self` and `system` inside actions',
    verdict: 'different',
    async prove(t) {
      const machine = setup({
        types: { context: {} as { found: boolean } },
        actions: {
          look: assign(({ self, system }) => {
            self.send({ type: 'never' });
            return { found: system.get('anybody') !== undefined };
          }),
        },
      }).createMachine({
        id: 'm',
        context: { found: true },
        on: { go: { actions: 'look' }, never: { actions: assign({ found: true }) } },
      });
      const { context: after, went } = await liveTwice(t, made(machine), [{ type: 'go' }, 1000]);
      assert.deepEqual(after, { found: false });
      assert.equal(went.length, 2);
    },
  },
  {
    name: '`stopChild` of what is not there',
    verdict: 'durable',
    async prove(t) {
      const machine = setup({ actions: { stop: stopChild('nobody') } }).createMachine({
        id: 'm',
        initial: 'a',
        states: { a: { on: { go: { target: 'b', actions: 'stop' } } }, b: {} },
      });
      assert.equal((await liveTwice(t, made(machine), [{ type: 'go' }])).state, 'b');
    },
  },
];
