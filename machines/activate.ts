import { assign, setup } from 'xstate';
import { effect } from '#core/effect';
import type { ErrorRecord } from '#core/errors';
import type { ActivationOptions, ActivationResult } from '#core/image';

/** Makes one activation of an image: a snapshot of its base, mounted or attached. */
export interface ActivateInput {
  image: string;
  options: ActivationOptions;
}

export interface ActivateContext extends ActivateInput {
  id: string | null;
  result: ActivationResult | null;
  error: ErrorRecord | null;
}

const idOf = (context: ActivateContext): { id: string } => ({ id: context.id as string });

export const activateMachine = setup({
  types: {
    input: {} as ActivateInput,
    context: {} as ActivateContext,
    /** Of a failed run: `{ error }`. */
    output: {} as ActivationResult,
    events: {} as { type: 'flyd.cancel' },
  },
  actors: {
    /** Commits the id (and device number) of a new activation. */
    'activation.choose': effect<ActivateInput, { id: string }>(),
    'activation.snapshot': effect<{ id: string }, null>(),
    'activation.mount': effect<{ id: string }, ActivationResult>(),
    /** Says in the database that it is live, and where. */
    'activation.record': effect<ActivationResult, null>(),
    /** Unmounts and discards what was made of it. */
    'activation.remove': effect<{ id: string; force: boolean }, null>(),
  },
  actions: {
    keepId: assign({ id: (_, params: { id: string }) => params.id }),
    keepResult: assign({ result: (_, params: { result: ActivationResult }) => params.result }),
    keepError: assign({ error: (_, params: { error: unknown }) => params.error as ErrorRecord }),
  },
}).createMachine({
  id: 'activate',
  context: ({ input }) => ({ ...input, id: null, result: null, error: null }),
  initial: 'choosing',
  states: {
    choosing: {
      on: { 'flyd.cancel': 'cancelled' },
      invoke: {
        id: 'activation.choose',
        src: 'activation.choose',
        input: ({ context: { image, options } }) => ({ image, options }),
        onDone: { target: 'making', actions: { type: 'keepId', params: ({ event }) => event.output } },
      },
    },
    making: {
      initial: 'snapshotting',
      on: { 'flyd.cancel': 'cancelling' },
      states: {
        snapshotting: {
          invoke: {
            id: 'activation.snapshot',
            src: 'activation.snapshot',
            input: ({ context }) => idOf(context),
            onDone: 'mounting',
            onError: {
              target: '#activate.removing',
              actions: { type: 'keepError', params: ({ event }) => ({ error: event.error }) },
            },
          },
        },
        mounting: {
          invoke: {
            id: 'activation.mount',
            src: 'activation.mount',
            input: ({ context }) => idOf(context),
            onDone: {
              target: 'recording',
              actions: { type: 'keepResult', params: ({ event }) => ({ result: event.output }) },
            },
            onError: {
              target: '#activate.removing',
              actions: { type: 'keepError', params: ({ event }) => ({ error: event.error }) },
            },
          },
        },
        recording: {
          invoke: {
            id: 'activation.record',
            src: 'activation.record',
            input: ({ context }) => context.result as ActivationResult,
            onDone: '#activate.activated',
            // A mount that the database does not know of would be nobody's.
            onError: {
              target: '#activate.removing',
              actions: { type: 'keepError', params: ({ event }) => ({ error: event.error }) },
            },
          },
        },
      },
    },
    removing: {
      invoke: {
        id: 'activation.remove',
        src: 'activation.remove',
        input: ({ context }) => ({ ...idOf(context), force: true }),
        onDone: 'failed',
        onError: 'failed',
      },
    },
    cancelling: {
      invoke: {
        id: 'activation.remove',
        src: 'activation.remove',
        input: ({ context }) => ({ ...idOf(context), force: true }),
        onDone: 'cancelled',
        onError: 'cancelled',
      },
    },
    activated: { type: 'final' },
    failed: { type: 'final', tags: ['failed'] },
    cancelled: { type: 'final', tags: ['cancelled'] },
  },
  output: ({ context: { result, error } }) =>
    error === null ? (result as ActivationResult) : ({ error } as never),
});
