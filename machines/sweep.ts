import { assign, setup } from 'xstate';
import { effect } from '#core/effect';

/** What a garbage collection removed. */
export interface SweepReport {
  blobs: number;
  volumes: number;
  activations: number;
  partials: number;
  /** Bytes of blobs and partial downloads. */
  bytes: number;
}

/** Removes what no image, activation or live run needs: blobs, volumes, strays, temp files. One at a time. */
export const sweepMachine = setup({
  types: {
    input: {} as Record<string, never>,
    context: {} as { report: SweepReport | null },
    output: {} as SweepReport,
  },
  actors: { 'store.sweep': effect<Record<string, never>, SweepReport>() },
  actions: { keepReport: assign({ report: (_, params: { report: SweepReport }) => params.report }) },
}).createMachine({
  id: 'sweep',
  context: { report: null },
  initial: 'sweeping',
  states: {
    sweeping: {
      invoke: {
        id: 'store.sweep',
        src: 'store.sweep',
        input: {},
        onDone: {
          target: 'swept',
          actions: { type: 'keepReport', params: ({ event }) => ({ report: event.output }) },
        },
      },
    },
    swept: { type: 'final' },
  },
  output: ({ context }) => context.report as SweepReport,
});
