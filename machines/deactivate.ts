import { setup } from 'xstate';
import { effect } from '#core/effect';

/** Takes one activation down: unmount, then discard. Unique by activation. */
export interface DeactivateInput {
  id: string;
  /** False: refuse when a process holds it. */
  force: boolean;
}

export const deactivateMachine = setup({
  types: { input: {} as DeactivateInput, context: {} as DeactivateInput, output: {} as { id: string } },
  actors: {
    'activation.unmount': effect<DeactivateInput, null>(),
    'activation.remove': effect<DeactivateInput, null>(),
  },
}).createMachine({
  id: 'deactivate',
  context: ({ input }) => input,
  initial: 'unmounting',
  states: {
    unmounting: {
      invoke: {
        id: 'activation.unmount',
        src: 'activation.unmount',
        input: ({ context }) => context,
        onDone: 'removing',
      },
    },
    removing: {
      invoke: {
        id: 'activation.remove',
        src: 'activation.remove',
        input: ({ context }) => context,
        onDone: 'removed',
      },
    },
    removed: { type: 'final' },
  },
  output: ({ context }) => ({ id: context.id }),
});
