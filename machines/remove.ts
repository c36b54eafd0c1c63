import { assign, enqueueActions, setup } from 'xstate';
import { effect } from '#core/effect';
import type { DeactivateInput } from './deactivate.ts';
import type { SweepInput, SweepReport } from './sweep.ts';

/** Removes an image: takes its activations down if asked to, drops it, sweeps what it alone needed. */
export interface RemoveInput {
  image: string;
  /** Take its activations down first, unless a process holds one. */
  force: boolean;
}

export interface RemoveContext extends RemoveInput {
  /** Activations still to take down. */
  live: string[];
  report: SweepReport | null;
}

const childId = (activation: string): string => `deactivate.${activation}`;

export const removeMachine = setup({
  types: {
    input: {} as RemoveInput,
    context: {} as RemoveContext,
    output: {} as { image: string; swept: SweepReport },
    events: {} as { type: `xstate.done.actor.deactivate.${string}`; output: { id: string } },
    children: {} as { [id: `deactivate.${string}`]: 'deactivate' },
  },
  actors: {
    /** The image's live activations; refuses when there are some and `force` is false. */
    'image.check': effect<RemoveInput, { live: string[] }>(),
    deactivate: effect<DeactivateInput, { id: string }>(),
    'image.drop': effect<{ image: string }, null>(),
    sweep: effect<SweepInput, SweepReport>(),
  },
  actions: {
    keepLive: assign({ live: (_, params: { live: string[] }) => params.live }),
    forget: assign({
      live: ({ context }, params: { id: string }) => context.live.filter((id) => id !== params.id),
    }),
    keepReport: assign({ report: (_, params: { report: SweepReport }) => params.report }),
    startDeactivations: enqueueActions(({ context, enqueue }) => {
      for (const id of context.live)
        enqueue.spawnChild('deactivate', { id: childId(id) as never, input: { id, force: false } });
    }),
  },
  guards: { allDown: ({ context }) => context.live.length === 0 },
}).createMachine({
  id: 'remove',
  context: ({ input }) => ({ ...input, live: [], report: null }),
  initial: 'checking',
  states: {
    checking: {
      invoke: {
        id: 'image.check',
        src: 'image.check',
        input: ({ context: { image, force } }) => ({ image, force }),
        onDone: {
          target: 'deactivating',
          actions: { type: 'keepLive', params: ({ event }) => ({ live: event.output.live }) },
        },
      },
    },
    deactivating: {
      entry: 'startDeactivations',
      always: { target: 'dropping', guard: 'allDown' },
      on: {
        'xstate.done.actor.deactivate.*': {
          actions: { type: 'forget', params: ({ event }) => ({ id: event.output.id }) },
        },
      },
    },
    dropping: {
      invoke: {
        id: 'image.drop',
        src: 'image.drop',
        input: ({ context }) => ({ image: context.image }),
        onDone: 'sweeping',
      },
    },
    sweeping: {
      invoke: {
        id: 'sweep',
        src: 'sweep',
        input: { strangers: false },
        onDone: {
          target: 'removed',
          actions: { type: 'keepReport', params: ({ event }) => ({ report: event.output }) },
        },
      },
    },
    removed: { type: 'final' },
  },
  output: ({ context }) => ({ image: context.image, swept: context.report as SweepReport }),
});
