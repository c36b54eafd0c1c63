import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createWebSocketReceiver } from '@statelyai/inspect';
import WebSocket from 'ws';
import { z } from 'zod';
import { defineMachine } from '#engine/index';
import { orderMachine } from '../engine/order.ts';
import { openStage, type Stage, token } from '../support/dashboard.ts';

// The receiver hands on any JSON frame: what the inspector needs of each is checked here.
const base = {
  sessionId: z.string(),
  rootId: z.string(),
  createdAt: z.string().regex(/^\d+$/),
  id: z.null(),
  _version: z.string(),
};
const snapshot = z.object({
  status: z.string(),
  context: z.unknown(),
  value: z.unknown(),
  output: z.unknown(),
});
const event = z.object({ type: z.string() });
const message = z.discriminatedUnion('type', [
  z.object({
    ...base,
    type: z.literal('@xstate.actor'),
    name: z.string(),
    definition: z.string(),
    parentId: z.string().optional(),
    snapshot,
  }),
  z.object({ ...base, type: z.literal('@xstate.event'), event, sourceId: z.string().optional() }),
  z.object({ ...base, type: z.literal('@xstate.snapshot'), event, snapshot }),
]);
type Message = z.output<typeof message>;

const order = (ship: () => Promise<null>) =>
  defineMachine({
    name: 'order',
    version: 1,
    machine: orderMachine,
    key: ({ order: number }) => number,
    actors: { charge: async () => ({ charge: 'ch-1' }), ship, refund: async () => null },
  });

const addressOf = ({ dashboard }: Stage, run: string): string =>
  `ws://127.0.0.1:${dashboard.port}/inspect/runs/${run}?token=${token}`;

/** What the package's own receiver hands on, checked, until `enough`. */
async function receive(
  t: TestContext,
  server: string,
  enough: (messages: Message[]) => boolean,
): Promise<Message[]> {
  // It is made for browsers, which have a WebSocket of their own; so has Node.
  const receiver = createWebSocketReceiver({ server });
  const messages: Message[] = [];
  const done = new Promise<void>((give, fail) => {
    const { unsubscribe } = receiver.subscribe((each) => {
      const parsed = message.safeParse(each);
      if (!parsed.success) return fail(new Error(z.prettifyError(parsed.error)));
      messages.push(parsed.data);
      if (enough(messages)) give();
    });
    t.after(unsubscribe);
  });
  await done;
  return messages;
}

test("Stately's own receiver gets a finished run from its first step to its last", async (t) => {
  const stage = await openStage(t, [order(async () => null)]);
  const { id } = await stage.engine.start(
    order(async () => null),
    { input: { order: 'o-1', amount: 5 } },
  );
  await stage.engine.wait(id);
  const messages = await receive(t, addressOf(stage, id), (all) => all.length >= 7);
  const [actor, ...rest] = messages;
  assert.ok(actor?.type === '@xstate.actor');
  assert.equal(actor.sessionId, id);
  const definition = JSON.parse(actor.definition) as { states: object; context?: unknown };
  assert.deepEqual(Object.keys(definition.states), Object.keys(orderMachine.states));
  assert.equal(definition.context, undefined, 'the initial context is in no message');
  assert.deepEqual(
    rest.map(({ type, ...each }) => [type, 'event' in each ? each.event.type : '']),
    ['xstate.init', 'xstate.done.actor.charge', 'xstate.done.actor.ship'].flatMap((name) => [
      ['@xstate.event', name],
      ['@xstate.snapshot', name],
    ]),
  );
  const last = rest.at(-1);
  assert.ok(last?.type === '@xstate.snapshot');
  assert.equal(last.snapshot.status, 'done');
  assert.equal(last.snapshot.value, 'shipped');
});

test('a live run is told as it goes on', async (t) => {
  let arrive = (): void => {};
  const shipped = new Promise<null>((give) => {
    arrive = () => give(null);
  });
  const definition = order(() => shipped);
  const stage = await openStage(t, [definition]);
  const { id } = await stage.engine.start(definition, { input: { order: 'o-1', amount: 5 } });
  let released = false;
  const messages = await receive(t, addressOf(stage, id), (all) => {
    const states = all.flatMap((each) => (each.type === '@xstate.snapshot' ? [each.snapshot.value] : []));
    if (states.includes('shipping') && !released) {
      released = true;
      arrive();
    }
    return states.includes('shipped');
  });
  assert.ok(released);
  assert.equal(messages.filter(({ type }) => type === '@xstate.actor').length, 1);
});

test('nobody attaches without the token, from a page of another site, or to what there is not', async (t) => {
  const stage = await openStage(t, [order(async () => null)]);
  const { id } = await stage.engine.start(
    order(async () => null),
    { input: { order: 'o-1', amount: 5 } },
  );
  const refused = (address: string, headers: Record<string, string> = {}): Promise<string> =>
    new Promise((give) => {
      const socket = new WebSocket(address, { headers });
      socket.on('error', ({ message: text }) => give(text));
      socket.on('open', () => {
        socket.close();
        give('open');
      });
    });
  const good = addressOf(stage, id);
  assert.equal(await refused(good), 'open');
  assert.match(await refused(good.replace(token, 'guess')), /401/);
  assert.match(await refused(good.replace(/\?.*/, '')), /401/);
  assert.match(await refused(good, { origin: 'http://evil.example' }), /403/);
  assert.match(await refused(good.replace(id, 'nobody')), /404/);
});
