import { assign, setup } from 'xstate';
import { effect } from '#core/effect';

/** A small workflow that has nothing to do with images: charge, ship, refund when shipping fails. */
export const orderMachine = setup({
  types: {
    input: {} as { order: string; amount: number },
    context: {} as { order: string; amount: number; charge: string | null; error: unknown },
    output: {} as { charge: string | null; error?: unknown },
    events: {} as { type: 'flyd.cancel' } | { type: 'approve' },
  },
  actors: {
    charge: effect<{ order: string; amount: number }, { charge: string }>(),
    ship: effect<{ order: string }, null>(),
    refund: effect<{ charge: string }, null>(),
  },
  actions: {
    keepCharge: assign({ charge: (_, params: { charge: string }) => params.charge }),
    keepError: assign({ error: (_, params: { error: unknown }) => params.error }),
  },
}).createMachine({
  id: 'order',
  context: ({ input }) => ({ ...input, charge: null, error: null }),
  initial: 'charging',
  states: {
    charging: {
      invoke: {
        id: 'charge',
        src: 'charge',
        input: ({ context: { order, amount } }) => ({ order, amount }),
        onDone: { target: 'shipping', actions: { type: 'keepCharge', params: ({ event }) => event.output } },
      },
    },
    shipping: {
      on: { 'flyd.cancel': 'refunding' },
      invoke: {
        id: 'ship',
        src: 'ship',
        input: ({ context: { order } }) => ({ order }),
        onDone: 'shipped',
        onError: {
          target: 'refunding',
          actions: { type: 'keepError', params: ({ event }) => ({ error: event.error }) },
        },
      },
    },
    refunding: {
      invoke: {
        id: 'refund',
        src: 'refund',
        input: ({ context }) => ({ charge: context.charge as string }),
        onDone: [
          { guard: ({ context }) => context.error !== null, target: 'failed' },
          { target: 'cancelled' },
        ],
      },
    },
    shipped: { type: 'final' },
    failed: { type: 'final', tags: ['failed'] },
    cancelled: { type: 'final', tags: ['cancelled'] },
  },
  output: ({ context: { charge, error } }) => ({ charge, ...(error === null ? {} : { error }) }),
});
