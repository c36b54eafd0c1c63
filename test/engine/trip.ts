import { setup } from 'xstate';
import { type Definition, defineMachine, type Effect, effect } from '#engine/index';
import type { None } from './laboratory.ts';

type Work = Effect<None, null>;

/** Books, waits for a yes (for a minute), packs, travels; what fails after booking is unbooked. */
const tripMachine = (asking: string) =>
  setup({
    types: {
      input: {} as { who: string },
      context: {} as { who: string },
      events: {} as { type: 'yes' } | { type: 'flyd.cancel' },
    },
    actors: {
      book: effect<None, null>(),
      pack: effect<None, null>(),
      travel: effect<None, null>(),
      unbook: effect<None, null>(),
    },
    delays: { patience: 60_000 },
  }).createMachine({
    id: 'trip',
    context: ({ input }) => input,
    initial: 'booking',
    states: {
      booking: { invoke: { id: 'book', src: 'book', input: {}, onDone: asking } },
      [asking]: { on: { yes: 'packing', 'flyd.cancel': 'unbooking' }, after: { patience: 'unbooking' } },
      packing: { invoke: { id: 'pack', src: 'pack', input: {}, onDone: 'travelling' } },
      travelling: {
        on: { 'flyd.cancel': 'unbooking' },
        invoke: { id: 'travel', src: 'travel', input: {}, onDone: 'arrived', onError: 'unbooking' },
      },
      unbooking: { invoke: { id: 'unbook', src: 'unbook', input: {}, onDone: 'failed' } },
      arrived: { type: 'final' },
      failed: { type: 'final', tags: ['failed'] },
    },
  });

const nothing: Work = async () => null;

/** The trip, with what its actors do (by default nothing), and the name of the state in which it waits. */
export const trip = (
  actors: Partial<Record<'book' | 'pack' | 'travel' | 'unbook', Work>> = {},
  asking = 'asking',
) =>
  defineMachine({
    name: 'trip',
    version: 1,
    machine: tripMachine(asking),
    key: ({ who }) => who,
    actors: { book: nothing, pack: nothing, travel: nothing, unbook: nothing, ...actors },
  });

const journeyMachine = setup({
  actors: { trip: effect<{ who: string }, unknown>(), rest: effect<None, null>() },
}).createMachine({
  id: 'journey',
  initial: 'there',
  states: {
    there: { invoke: { id: 'there', src: 'trip', input: { who: 'kim' }, onDone: 'resting' } },
    resting: { invoke: { id: 'rest', src: 'rest', input: {}, onDone: 'over' } },
    over: { type: 'final' },
  },
});

/** A run whose first step is a run of the trip. */
export const journey = (child: Definition, rest: Work = nothing) =>
  defineMachine({
    name: 'journey',
    version: 1,
    machine: journeyMachine,
    actors: { trip: child as never, rest },
  });

const voyageMachine = setup({
  types: { events: {} as { type: 'go' } },
  actors: { trip: effect<{ who: string }, unknown>() },
}).createMachine({
  id: 'voyage',
  initial: 'home',
  states: {
    home: { on: { go: 'away' } },
    away: { invoke: { id: 'trip', src: 'trip', input: { who: 'kim' }, onDone: 'over' } },
    over: { type: 'final' },
  },
});

/** A run that waits at home until it is told to go on the trip. */
export const voyage = (child: Definition) =>
  defineMachine({ name: 'voyage', version: 1, machine: voyageMachine, actors: { trip: child as never } });
