import assert from 'node:assert/strict';
import { assign, setup } from 'xstate';
import { defineMachine, effect } from '#engine/index';
import {
  cancelCall,
  type Random,
  retryCall,
  sendCall,
  startCall,
  type Workload,
  waitCall,
} from '#engine/testing/index';

interface Order {
  order: string;
  amount: number;
}

/** Reserve, charge, wait for approval, ship; before shipping, everything can be undone. */
export const shopMachine = setup({
  types: {
    input: {} as Order,
    context: {} as Order & { error: unknown; late: boolean },
    output: {} as { order: string; error?: unknown },
    events: {} as
      | { type: 'flyd.cancel' }
      | { type: 'approve'; mark: string }
      | { type: 'look'; mark: string },
    emitted: {} as { type: 'shipped'; order: string },
  },
  actors: {
    reserve: effect<Order, null>(),
    charge: effect<Order, null>(),
    ship: effect<Order, null>(),
    refund: effect<Order, null>(),
    release: effect<Order, null>(),
  },
  actions: {
    keepError: assign({ error: (_, params: { error: unknown }) => params.error }),
    markLate: assign({ late: true }),
  },
  guards: { failed: ({ context }) => context.error !== null },
  delays: { patience: 400 },
}).createMachine({
  id: 'shop',
  context: ({ input }) => ({ ...input, error: null, late: false }),
  initial: 'reserving',
  states: {
    reserving: {
      on: { 'flyd.cancel': 'undoing' },
      invoke: {
        id: 'reserve',
        src: 'reserve',
        input: ({ context: { order, amount } }) => ({ order, amount }),
        onDone: 'charging',
        onError: {
          target: 'undoing',
          actions: { type: 'keepError', params: ({ event }) => ({ error: event.error }) },
        },
      },
    },
    charging: {
      on: { 'flyd.cancel': 'undoing' },
      invoke: {
        id: 'charge',
        src: 'charge',
        input: ({ context: { order, amount } }) => ({ order, amount }),
        onDone: 'approving',
        onError: {
          target: 'undoing',
          actions: { type: 'keepError', params: ({ event }) => ({ error: event.error }) },
        },
      },
    },
    approving: {
      on: { 'flyd.cancel': 'undoing', approve: 'shipping', look: { target: 'approving', reenter: true } },
      after: { patience: { target: 'undoing', actions: 'markLate' } },
    },
    shipping: {
      invoke: {
        id: 'ship',
        src: 'ship',
        input: ({ context: { order, amount } }) => ({ order, amount }),
        onDone: 'shipped',
      },
    },
    undoing: {
      initial: 'refunding',
      states: {
        refunding: {
          invoke: {
            id: 'refund',
            src: 'refund',
            input: ({ context: { order, amount } }) => ({ order, amount }),
            onDone: 'releasing',
          },
        },
        releasing: {
          invoke: {
            id: 'release',
            src: 'release',
            input: ({ context: { order, amount } }) => ({ order, amount }),
            onDone: [{ guard: 'failed', target: '#shop.failed' }, { target: '#shop.cancelled' }],
          },
        },
      },
    },
    shipped: { type: 'final' },
    failed: { type: 'final', tags: ['failed'] },
    cancelled: { type: 'final', tags: ['cancelled'] },
  },
  output: ({ context: { order, error } }) => ({ order, ...(error === null ? {} : { error }) }),
});

/** What the shop's partners know. All of it is kept by order: doing a thing twice changes nothing. */
class Shop {
  readonly reserved = new Set<string>();
  readonly charged = new Map<string, number>();
  readonly shipped = new Set<string>();
  readonly chargeIds = new Map<string, Set<string>>();
}

const undo = ['recoverable', 'pending', 'unclassified'] as const;

/** Orders with compensation: money is taken exactly for what was shipped. */
export const orderWorkload: Workload = {
  name: 'order',
  create(random: Random) {
    const shop = new Shop();
    const ids = Array.from({ length: 1 + random.int(4) }, (_, n) => `order-${n}`);
    return {
      machines: (simulate) => [
        defineMachine({
          name: 'shop',
          version: 1,
          machine: shopMachine,
          key: ({ order }) => order,
          actors: {
            reserve: simulate<Order, null>('reserve', {
              act: ({ input }) => {
                shop.reserved.add(input.order);
                return null;
              },
            }),
            charge: simulate<Order, null>('charge', {
              act: ({ input, effectId }) => {
                shop.charged.set(input.order, input.amount);
                shop.chargeIds.set(
                  input.order,
                  (shop.chargeIds.get(input.order) ?? new Set<string>()).add(effectId),
                );
                return null;
              },
              fails: ['recoverable', 'pending', 'unrecoverable', 'unclassified', 'abort'],
            }),
            ship: simulate<Order, null>('ship', {
              act: ({ input }) => {
                shop.shipped.add(input.order);
                return null;
              },
              fails: undo,
            }),
            refund: simulate<Order, null>('refund', {
              act: ({ input }) => {
                shop.charged.delete(input.order);
                return null;
              },
              fails: undo,
            }),
            release: simulate<Order, null>('release', {
              act: ({ input }) => {
                shop.reserved.delete(input.order);
                return null;
              },
              fails: undo,
            }),
          },
        }),
      ],
      calls: ids.flatMap((id) => [
        startCall('shop', id, { order: id, amount: 5 }, random.int(100)),
        sendCall(id, { type: 'look', mark: `look-${id}` }, random.int(400)),
        ...(random.chance(0.7)
          ? [sendCall(id, { type: 'approve', mark: `yes-${id}` }, random.int(600))]
          : []),
        ...(random.chance(0.3) ? [cancelCall(id, random.int(600))] : []),
        ...(random.chance(0.3) ? [retryCall(id, random.int(900))] : []),
        waitCall(id, random.int(300)),
      ]),
      atEnd({ runs }) {
        for (const { id, status } of runs) {
          const done = status === 'done';
          assert.equal(shop.shipped.has(id), done, `${id} is ${status}: shipped`);
          assert.equal(shop.charged.has(id), done, `${id} is ${status}: charged`);
          assert.equal(shop.reserved.has(id), done, `${id} is ${status}: reserved`);
          assert.ok((shop.chargeIds.get(id)?.size ?? 0) <= 1, `${id} was charged under two effect ids`);
        }
        assert.equal(runs.length, ids.length);
      },
    };
  },
};
