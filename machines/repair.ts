import { assign, setup } from 'xstate';
import { effect } from '#core/effect';
import type { ErrorRecord } from '#core/errors';

/** What a repair did. */
export interface RepairReport {
  /** Each thing that was done, in words. */
  done: string[];
  /** What could not be mended, and why. */
  failed: { what: string; error: ErrorRecord }[];
}

/** Mends what can be mended of pool, loops, mappings, mounts and rows without losing data. One at a time. */
export const repairMachine = setup({
  types: {
    input: {} as Record<string, never>,
    context: {} as { report: RepairReport | null },
    output: {} as RepairReport,
  },
  actors: { 'store.repair': effect<Record<string, never>, RepairReport>() },
  actions: { keepReport: assign({ report: (_, params: { report: RepairReport }) => params.report }) },
}).createMachine({
  id: 'repair',
  context: { report: null },
  initial: 'repairing',
  states: {
    repairing: {
      invoke: {
        id: 'store.repair',
        src: 'store.repair',
        input: {},
        onDone: {
          target: 'repaired',
          actions: { type: 'keepReport', params: ({ event }) => ({ report: event.output }) },
        },
      },
    },
    repaired: { type: 'final' },
  },
  output: ({ context }) => context.report as RepairReport,
});
