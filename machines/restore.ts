import { assign, setup } from 'xstate';
import { effect } from '#core/effect';
import type { ErrorRecord } from '#core/errors';

/** What a restoration did. */
export interface RestoreReport {
  /** The thin pool, when an activation needs it: what of it was gone and is there again. */
  pool: { name: string; attached: string[]; mapped: boolean } | null;
  /** Activations that are mounted, or mapped, again. */
  restored: string[];
  /** Ephemeral ones that are removed. */
  removed: string[];
  /** What could not be done, and why. */
  failed: { id: string; error: ErrorRecord }[];
}

/** Brings back what a reboot took: loops, the pool, mappings, mounts. One at a time. */
export const restoreMachine = setup({
  types: {
    input: {} as Record<string, never>,
    context: {} as { report: RestoreReport | null },
    output: {} as RestoreReport,
  },
  actors: { 'store.restore': effect<Record<string, never>, RestoreReport>() },
  actions: { keepReport: assign({ report: (_, params: { report: RestoreReport }) => params.report }) },
}).createMachine({
  id: 'restore',
  context: { report: null },
  initial: 'restoring',
  states: {
    restoring: {
      invoke: {
        id: 'store.restore',
        src: 'store.restore',
        input: {},
        onDone: {
          target: 'restored',
          actions: { type: 'keepReport', params: ({ event }) => ({ report: event.output }) },
        },
      },
    },
    restored: { type: 'final' },
  },
  output: ({ context }) => context.report as RestoreReport,
});
