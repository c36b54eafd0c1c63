// Types only: never run, compiled by `npm run typecheck`. Where something must not compile, the line
// above says so, and the compiler complains when it does.

import { assign, setup } from 'xstate';
import {
  type ContextOf,
  type Definition,
  defineMachine,
  type Engine,
  type EventOf,
  effect,
  type InputOf,
  type Json,
  type OutputOf,
  openEngine,
  type RunId,
  type RunView,
  type TagOf,
} from '#engine/index';

type Same<Left, Right> =
  (<T>() => T extends Left ? 1 : 2) extends <T>() => T extends Right ? 1 : 2 ? true : false;
const holds = <_Claim extends true>(): void => {};

interface Parcel {
  address: string;
  grams: number;
}
interface Receipt {
  parcel: string;
}
type Asked = { type: 'ask'; question: string } | { type: 'flyd.cancel' };

const parcel = defineMachine({
  name: 'parcel',
  version: 1,
  machine: setup({
    types: {
      input: {} as Parcel,
      context: {} as Parcel & { receipt: Receipt | null },
      output: {} as Receipt,
      events: {} as Asked,
      tags: {} as 'packing' | 'under way',
    },
    actors: { weigh: effect<Parcel, number>() },
    actions: { forget: assign({ receipt: null }) },
  }).createMachine({
    context: ({ input }) => ({ ...input, receipt: null }),
    initial: 'weighing',
    states: {
      weighing: {
        tags: ['packing'],
        on: { ask: { actions: 'forget' } },
        invoke: { id: 'weigh', src: 'weigh', input: ({ context }) => context, onDone: 'sent' },
      },
      sent: { type: 'final' },
    },
    output: ({ context }) => context.receipt as Receipt,
  }),
  key: ({ address }) => address,
  actors: {
    weigh: async ({ input, effectId, attempt, signal }) => {
      holds<Same<typeof input, Parcel & object>>();
      holds<Same<typeof effectId, string>>();
      holds<Same<typeof attempt, number>>();
      holds<Same<typeof signal, AbortSignal>>();
      // @ts-expect-error: a parcel has no colour
      input.colour;
      return input.grams;
    },
  },
});

const bill = defineMachine({
  name: 'bill',
  version: 1,
  machine: setup({
    types: { input: {} as { amount: number }, output: {} as string, context: {} as { amount: number } },
    actors: { charge: effect<{ amount: number }, string>() },
  }).createMachine({ context: ({ input }) => input, output: '' }),
  actors: { charge: async ({ input }) => `${input.amount}` },
});

const shopMachine = setup({
  types: {
    input: {} as Parcel,
    context: {} as Parcel,
    events: {} as { type: 'open' },
    output: {} as Receipt,
  },
  actors: {
    parcel: effect<Parcel, Receipt>(),
    bill: effect<{ amount: number }, string>(),
    sweep: effect<{ room: string }, null>(),
  },
}).createMachine({ context: ({ input }) => input, output: { parcel: '' } });
const shop = defineMachine({
  name: 'shop',
  version: 1,
  machine: shopMachine,
  actors: { parcel, bill, sweep: async () => null },
});

export function ofDefinitions(): void {
  holds<Same<InputOf<typeof parcel>, Parcel>>();
  holds<Same<OutputOf<typeof parcel>, Receipt>>();
  holds<Same<EventOf<typeof parcel>, { type: 'ask'; question: string }>>();
  holds<Same<ContextOf<typeof parcel>, Parcel & { receipt: Receipt | null }>>();
  holds<Same<TagOf<typeof parcel>, 'packing' | 'under way'>>();
  holds<Same<(typeof parcel)['name'], 'parcel'>>();
  // Any definition is one; what a bare one takes is nobody's guess.
  const list: Definition[] = [parcel, bill, shop];
  openEngine({ db: ':memory:', machines: list });
  holds<Same<OutputOf<Definition>, Json>>();

  // @ts-expect-error: an actor has no implementation
  defineMachine({ name: 'shop', version: 1, machine: shopMachine, actors: { parcel, bill } });
  const room = async ({ input }: { input: { room: string } }) => JSON.parse(input.room) as null;
  defineMachine({ name: 'shop', version: 1, machine: shopMachine, actors: { parcel, bill, sweep: room } });
  const door = async ({ input }: { input: { door: string } }) => JSON.parse(input.door) as null;
  // @ts-expect-error: the effect takes what the machine does not give
  defineMachine({ name: 'shop', version: 1, machine: shopMachine, actors: { parcel, bill, sweep: door } });
  const five = async () => 5;
  // @ts-expect-error: the effect gives what the machine does not take
  defineMachine({ name: 'shop', version: 1, machine: shopMachine, actors: { parcel, bill, sweep: five } });
  const mixed = { parcel: bill, bill, sweep: room };
  // @ts-expect-error: another machine's input and output
  defineMachine({ name: 'shop', version: 1, machine: shopMachine, actors: mixed });
  const more = { parcel, bill, sweep: room, dust: room };
  // @ts-expect-error: the machine declares no such actor
  defineMachine({ name: 'shop', version: 1, machine: shopMachine, actors: more });
  // @ts-expect-error: the key is made of the machine's input
  defineMachine({ name: 'bill', version: 1, machine: bill.machine, actors: {}, key: 5 });
}

export async function ofRuns(engine: Engine): Promise<void> {
  const { id } = await engine.start(parcel, { input: { address: 'here', grams: 5 } });
  holds<Same<typeof id, RunId<typeof parcel>>>();
  // @ts-expect-error: an input that is none
  await engine.start(parcel, { input: { address: 5, grams: 5 } });
  // @ts-expect-error: an input that lacks something
  await engine.start(parcel, { input: { address: 'here' } });

  await engine.send(id, { type: 'ask', question: 'where?' });
  // @ts-expect-error: not one of its events
  await engine.send(id, { type: 'shout' });
  // @ts-expect-error: an event that lacks something
  await engine.send(id, { type: 'ask' });
  // @ts-expect-error: the engine's own events are not to be sent
  await engine.send(id, { type: 'flyd.cancel' });

  const { output, input, machine } = await engine.wait(id);
  holds<Same<typeof output, Receipt | null>>();
  holds<Same<typeof input, Parcel>>();
  holds<Same<typeof machine, 'parcel'>>();
  const snapshot = engine.snapshotAt(id, 1);
  holds<Same<(typeof snapshot)['context'], ContextOf<typeof parcel>>>();

  // A view carries the types on.
  const again = await engine.wait(engine.run(id).id);
  holds<Same<typeof again.output, Receipt | null>>();
  // So does an id that came as text.
  const found = engine.find(bill, 'bill-7');
  holds<Same<ReturnType<typeof engine.run<typeof bill>>['output'], string | null>>();
  holds<Same<typeof found, RunId<typeof bill>>>();
  // An id is a string wherever one is wanted; without types a run is JSON.
  const text: string = id;
  const unknownRun = await engine.wait(text);
  holds<Same<typeof unknownRun, RunView>>();
  holds<Same<typeof unknownRun.output, Json>>();
  await engine.send(text, { type: 'whatever' });
}

export async function ofChildren(engine: Engine): Promise<void> {
  const { id } = await engine.start(shop, { input: { address: 'here', grams: 5 } });
  for (const { run } of engine.children(id)) {
    holds<Same<typeof run.machine, 'parcel' | 'bill'>>();
    if (run.machine === 'bill') holds<Same<typeof run.output, string | null>>();
    else holds<Same<typeof run.output, Receipt | null>>();
  }
}
