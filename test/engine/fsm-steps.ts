import { assign, setup } from 'xstate';
import { aborted } from '#core/errors';
import { type Definition, defineMachine, type Effect, effect, type Json } from '#engine/index';

export interface Resource {
  resource: string;
}
export type Step = Effect<Resource, Json>;

const machineOf = (id: string) =>
  setup({
    types: {
      input: {} as Resource,
      context: {} as Resource & { error: unknown },
      output: {} as { error?: unknown },
      events: {} as { type: 'flyd.cancel' },
    },
    actors: {
      first: effect<Resource, Json>(),
      second: effect<Resource, Json>(),
      undo: effect<Resource, Json>(),
    },
    actions: { keepError: assign({ error: (_, params: { error: unknown }) => params.error }) },
  }).createMachine({
    id,
    context: ({ input }) => ({ ...input, error: null }),
    initial: 'first',
    on: { 'flyd.cancel': '.undoing' },
    states: {
      first: {
        invoke: {
          id: 'first',
          src: 'first',
          input: ({ context: { resource } }) => ({ resource }),
          onDone: 'second',
          onError: {
            target: 'failed',
            actions: { type: 'keepError', params: ({ event }) => ({ error: event.error }) },
          },
        },
      },
      second: {
        invoke: {
          id: 'second',
          src: 'second',
          input: ({ context: { resource } }) => ({ resource }),
          onDone: 'over',
        },
      },
      undoing: {
        on: { 'flyd.cancel': undefined },
        invoke: {
          id: 'undo',
          src: 'undo',
          input: ({ context: { resource } }) => ({ resource }),
          onDone: 'cancelled',
        },
      },
      over: { type: 'final' },
      failed: { type: 'final', tags: ['failed'] },
      cancelled: { type: 'final', tags: ['cancelled'] },
    },
    output: ({ context: { error } }) => (error === null ? {} : { error }),
  });

/** Two steps on a resource, and what undoes them: as superfly/fsm would have them. `ran` notes each attempt. */
export function stepsOf(
  name: string,
  ran: string[],
  steps: Partial<Record<'first' | 'second' | 'undo', Step>> = {},
  options: { queue?: string; key?: (input: Resource) => string | null } = {},
): Definition<Resource, { error?: unknown }> {
  const noting =
    (step: 'first' | 'second' | 'undo'): Step =>
    async (context) => {
      ran.push(`${name}/${context.input.resource}/${step}`);
      return (await steps[step]?.(context)) ?? null;
    };
  return defineMachine({
    name,
    version: 1,
    machine: machineOf(name),
    actors: { first: noting('first'), second: noting('second'), undo: noting('undo') },
    ...(options.queue === undefined ? {} : { queue: options.queue }),
    ...(options.key === undefined ? {} : { key: options.key }),
  });
}

/** Goes on until it is told to stop. */
export const endless: Step = ({ signal }) =>
  new Promise((_, reject) =>
    signal.addEventListener('abort', () => reject(aborted('superseded', 'told to stop')), { once: true }),
  );

export const failing: Step = async () => {
  throw Object.assign(new Error('no room'), { kind: 'unrecoverable', code: 'no_space' });
};
