import { assign, emit, raise, sendTo, setup } from 'xstate';
import { type Definition, defineMachine, type Effect, effect } from '#engine/index';

export interface Login {
  user: string;
  token: string;
}

const helperMachine = setup({
  types: {
    input: {} as { header: string },
    context: {} as { header: string; told: string | null },
    events: {} as { type: 'tell'; token: string },
    output: {} as { header: string; told: string | null },
  },
  actors: { help: effect<{ header: string; told: string | null }, null>() },
  actions: { keep: assign({ told: (_, { token }: { token: string }) => token }) },
}).createMachine({
  id: 'helper',
  context: ({ input }) => ({ ...input, told: null }),
  initial: 'listening',
  states: {
    listening: {
      on: { tell: { target: 'helping', actions: { type: 'keep', params: ({ event }) => event } } },
    },
    helping: { invoke: { id: 'help', src: 'help', input: ({ context }) => context, onDone: 'helped' } },
    helped: { type: 'final' },
  },
  output: ({ context }) => context,
});

/** Logs in, keeps what it is given, tells a child and itself, and hands out what it must not. */
const loginMachine = setup({
  types: {
    input: {} as Login,
    context: {} as Login & {
      auth: { session: string; pin: number } | null;
      note: string;
      password: string | null;
    },
    events: {} as
      | { type: 'confirm'; password: string }
      | { type: 'later'; token: string }
      | { type: 'tell' }
      | { type: 'finish' }
      | { type: 'flyd.cancel' },
    emitted: {} as { type: 'said'; words: string },
    output: {} as { user: string; session: string },
  },
  actors: {
    login: effect<{ header: string }, { session: string; pin: number; greeting: string }>(),
    use: effect<{ user: string; session: string; pin: number; password: string }, null>(),
    helper: effect<{ header: string }, { header: string; told: string | null }>(),
  },
  actions: {
    keepAuth: assign({ auth: (_, { session, pin }: { session: string; pin: number }) => ({ session, pin }) }),
    keepPassword: assign({ password: (_, { password }: { password: string }) => password }),
    tellLater: raise(({ context }) => ({ type: 'later' as const, token: context.token }), { delay: 60_000 }),
    tellHelper: sendTo('helper', ({ context }) => ({ type: 'tell', token: context.token })),
    say: emit(({ context }) => ({ type: 'said' as const, words: `I am ${context.token}` })),
  },
}).createMachine({
  id: 'login',
  context: ({ input }) => ({ ...input, auth: null, note: `made for ${input.token}`, password: null }),
  initial: 'loggingIn',
  states: {
    loggingIn: {
      entry: ['tellLater', 'say'],
      invoke: {
        id: 'login',
        src: 'login',
        input: ({ context }) => ({ header: `Bearer ${context.token}` }),
        onDone: { target: 'confirming', actions: { type: 'keepAuth', params: ({ event }) => event.output } },
      },
    },
    confirming: {
      on: { confirm: { target: 'using', actions: { type: 'keepPassword', params: ({ event }) => event } } },
    },
    using: {
      invoke: {
        id: 'use',
        src: 'use',
        input: ({ context: { user, auth, password } }) => ({
          user,
          session: auth?.session ?? '',
          pin: auth?.pin ?? 0,
          password: password ?? '',
        }),
        onDone: 'helping',
      },
    },
    helping: {
      on: { tell: { actions: 'tellHelper' } },
      invoke: {
        id: 'helper',
        src: 'helper',
        input: ({ context }) => ({ header: `Bearer ${context.token}` }),
        onDone: 'idle',
      },
    },
    idle: { on: { finish: 'finished', 'flyd.cancel': 'finished' } },
    finished: { type: 'final' },
  },
  output: ({ context }) => ({ user: context.user, session: context.auth?.session ?? '' }),
});

export interface SecretiveActors {
  login: Effect<{ header: string }, { session: string; pin: number; greeting: string }>;
  use: Effect<{ user: string; session: string; pin: number; password: string }, null>;
  help: Effect<{ header: string; told: string | null }, null>;
}

/** The machine with its marks; its helper has none of its own. */
export const secretive = ({ login, use, help }: SecretiveActors) => {
  const helper = defineMachine({ name: 'helper', version: 1, machine: helperMachine, actors: { help } });
  return defineMachine({
    name: 'login',
    version: 1,
    machine: loginMachine,
    actors: { login, use, helper: helper as Definition as never },
    secrets: ['input.token', 'context.auth.*', 'event.confirm.password'],
  });
};
