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
  /** Images that went because others need the room, and the bytes of those that stay; with a wish to evict only. */
  evicted?: { id: string; family: string }[];
  bytesKept?: number;
}

export interface SweepInput {
  /** First drop images, the one that was used longest ago first. */
  evict?: {
    /** Until no more than this is in use; null: all that may go. Bytes. */
    maxBytes: number | null;
    /** None that was used within this time; null: whatever it was used. Milliseconds. */
    keepWithinMs: number | null;
  };
  /** False: what no row tells of stays, so that no folder has to be listed. Default true. */
  strangers?: boolean;
}

/** Removes what no image, activation or live run needs: blobs, volumes, strays, temp files. One at a time. */
export const sweepMachine = setup({
  types: {
    input: {} as SweepInput,
    context: {} as SweepInput & { report: SweepReport | null },
    output: {} as SweepReport,
  },
  actors: { 'store.sweep': effect<SweepInput, SweepReport>() },
  actions: { keepReport: assign({ report: (_, params: { report: SweepReport }) => params.report }) },
}).createMachine({
  id: 'sweep',
  context: ({ input }) => ({ ...input, report: null }),
  initial: 'sweeping',
  states: {
    sweeping: {
      invoke: {
        id: 'store.sweep',
        src: 'store.sweep',
        input: ({ context: { evict, strangers } }) => ({
          ...(evict === undefined ? {} : { evict }),
          ...(strangers === undefined ? {} : { strangers }),
        }),
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
