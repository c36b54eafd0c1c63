import assert from 'node:assert/strict';
import { assign, emit, raise, sendTo, setup } from 'xstate';
import { defineMachine, effect } from '#engine/index';
import { cancelCall, type Random, sendCall, startCall, type Workload, waitCall } from '#engine/testing/index';

interface Named {
  name: string;
}

/** A child that its parent hurries along by an event; without one it goes on when its time has come. */
const helperMachine = setup({
  types: {
    input: {} as Named,
    context: {} as Named & { hurried: number },
    output: {} as Named,
    events: {} as { type: 'hurry' },
  },
  actors: { help: effect<Named, null>() },
  actions: { count: assign({ hurried: ({ context }) => context.hurried + 1 }) },
}).createMachine({
  id: 'helper',
  context: ({ input }) => ({ ...input, hurried: 0 }),
  initial: 'idling',
  states: {
    idling: { on: { hurry: { target: 'helping', actions: 'count' } }, after: { 300: 'helping' } },
    helping: {
      on: { hurry: { actions: 'count' } },
      invoke: {
        id: 'help',
        src: 'help',
        input: ({ context }) => ({ name: context.name }),
        onDone: 'helped',
      },
    },
    helped: { type: 'final' },
  },
  output: ({ context }) => ({ name: context.name }),
});

/**
 * Timers that start anew on re-entry, delayed raises, events to itself, to its child and to the
 * outside, parallel regions, history, and a transition that throws until somebody mends it.
 */
const talkMachine = (isBroken: () => boolean) =>
  setup({
    types: {
      input: {} as Named,
      context: {} as Named & { nudges: number; ticks: number; selves: number },
      output: {} as { nudges: number; ticks: number },
      events: {} as
        | { type: 'poke'; mark: string }
        | { type: 'fragile'; mark: string }
        | { type: 'switch'; mark: string }
        | { type: 'finish'; mark: string }
        | { type: 'tick' }
        | { type: 'self' },
      emitted: {} as { type: 'poked'; name: string },
    },
    actors: { nudge: effect<Named, null>(), helper: effect<Named, Named>() },
    actions: {
      countTick: assign({ ticks: ({ context }) => context.ticks + 1 }),
      countSelf: assign({ selves: ({ context }) => context.selves + 1 }),
      countNudge: assign({ nudges: ({ context }) => context.nudges + 1 }),
      breakUntilMended: assign(() => {
        if (isBroken()) throw new Error('a bug in the machine');
        return {};
      }),
      tickLater: raise({ type: 'tick' }, { delay: 50 }),
      hurryHelper: sendTo('helper', { type: 'hurry' }),
      tellSelf: sendTo(({ self }) => self, { type: 'self' }),
      tellAll: emit(({ context }) => ({ type: 'poked' as const, name: context.name })),
    },
    guards: { ticked: ({ context }) => context.ticks >= 2, nudged: ({ context }) => context.nudges >= 2 },
  }).createMachine({
    id: 'talk',
    context: ({ input }) => ({ ...input, nudges: 0, ticks: 0, selves: 0 }),
    initial: 'talking',
    states: {
      talking: {
        type: 'parallel',
        on: { finish: 'finished' },
        onDone: 'finished',
        states: {
          nudging: {
            initial: 'patient',
            states: {
              patient: {
                on: {
                  poke: { target: 'patient', reenter: true, actions: ['tellAll', 'tellSelf'] },
                  self: { actions: 'countSelf' },
                },
                after: { 120: 'nudge' },
              },
              nudge: {
                invoke: {
                  id: 'nudge',
                  src: 'nudge',
                  input: ({ context }) => ({ name: context.name }),
                  onDone: { target: 'told', actions: 'countNudge' },
                  onError: 'told',
                },
              },
              told: { always: [{ guard: 'nudged', target: 'enough' }, { target: 'patient' }] },
              enough: { type: 'final' },
            },
          },
          ticking: {
            initial: 'ticks',
            states: {
              ticks: {
                entry: 'tickLater',
                always: { guard: 'ticked', target: 'over' },
                on: {
                  tick: { target: 'ticks', reenter: true, actions: 'countTick' },
                  switch: 'aside',
                  fragile: { target: 'ticks', reenter: true, actions: 'breakUntilMended' },
                },
              },
              aside: { on: { switch: 'back' }, after: { 80: 'back' } },
              back: { always: 'ticks' },
              over: { type: 'final' },
            },
          },
          helping: {
            initial: 'waiting',
            states: {
              waiting: {
                on: { poke: { actions: 'hurryHelper' } },
                invoke: {
                  id: 'helper',
                  src: 'helper',
                  input: ({ context }) => ({ name: context.name }),
                  onDone: 'helped',
                  onError: 'helped',
                },
              },
              helped: { type: 'final' },
            },
          },
        },
      },
      finished: { type: 'final' },
    },
    output: ({ context: { nudges, ticks } }) => ({ nudges, ticks }),
  });

export const talkWorkload: Workload = {
  name: 'talk',
  create(random: Random) {
    let broken = random.chance(0.5);
    const machine = talkMachine(() => broken);
    const ids = Array.from({ length: 1 + random.int(3) }, (_, n) => `talk-${n}`);
    const marks: [string, string][] = [];
    const calls = ids.flatMap((id) => [
      startCall('talk', id, { name: id }, random.int(100)),
      ...Array.from({ length: random.int(6) }, (_, n) => {
        const type = random.pick(['poke', 'poke', 'switch', 'fragile', 'finish']);
        const mark = `${type}-${n}`;
        marks.push([id, mark]);
        return sendCall(id, { type, mark }, random.int(700));
      }),
      ...(random.chance(0.15) ? [cancelCall(id, random.int(700))] : []),
      waitCall(id, random.int(300)),
    ]);
    return {
      machines: (simulate) => {
        const helper = defineMachine({
          name: 'helper',
          version: 1,
          machine: helperMachine,
          actors: { help: simulate<Named, null>('help', { act: () => null }) },
        });
        const nudge = simulate<Named, null>('nudge', { act: () => null });
        return [defineMachine({ name: 'talk', version: 1, machine, actors: { nudge, helper } })];
      },
      calls,
      heal() {
        broken = false;
      },
      atEnd({ runs, taken }) {
        for (const [id, mark] of marks) assert.ok(taken(id, mark) <= 1, `${id} took '${mark}' once at most`);
        for (const { id, machine: name, status, events } of runs)
          if (name === 'talk' && status === 'done' && !events.includes('finish'))
            assert.ok(
              events.some((event) => /^xstate\.(done|error)\.actor\.helper$/.test(event)),
              `${id} is done without its helper`,
            );
      },
    };
  },
};
