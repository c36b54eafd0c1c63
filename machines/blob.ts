import { assign, setup } from 'xstate';
import { effect } from '#core/effect';
import type { DriverName, LayerBlob, LayerRef, Source } from '#core/image';

/** Brings one layer object into the blob store, whole and verified. Unique by where it is, or by its digest. */
export interface BlobInput {
  source: Source;
  layer: LayerRef;
  /** Whose volume it is for: a driver that can prepares the layer while it comes. */
  driver?: DriverName;
}

/** A layer whose bytes are complete in the store, under their digest, but not yet in the database. */
export type FetchedBlob = Omit<LayerBlob, 'reused'>;

export interface BlobContext extends BlobInput {
  blob: LayerBlob | null;
  fetched: FetchedBlob | null;
}

export const blobMachine = setup({
  types: {
    input: {} as BlobInput,
    context: {} as BlobContext,
    output: {} as LayerBlob,
    events: {} as { type: 'flyd.cancel' },
  },
  actors: {
    /** Whether a whole blob is there already, by its location or its known digest. */
    'blob.find': effect<BlobInput, LayerBlob | null>(),
    /** Downloads what is missing of it, hashes both sides, gives it its name. */
    'blob.fetch': effect<BlobInput, FetchedBlob>(),
    /** Stores the blob's row and the location that it was found at. */
    'blob.record': effect<{ source: Source; blob: FetchedBlob }, LayerBlob>(),
  },
  actions: {
    keepFound: assign({ blob: (_, params: { blob: LayerBlob | null }) => params.blob }),
    keepFetched: assign({ fetched: (_, params: { blob: FetchedBlob }) => params.blob }),
  },
  guards: { isWhole: (_, params: { blob: LayerBlob | null }) => params.blob !== null },
}).createMachine({
  id: 'blob',
  context: ({ input }) => ({ ...input, blob: null, fetched: null }),
  initial: 'finding',
  on: { 'flyd.cancel': '.cancelled' },
  states: {
    finding: {
      invoke: {
        id: 'blob.find',
        src: 'blob.find',
        input: ({ context }) => ({ source: context.source, layer: context.layer }),
        onDone: [
          {
            target: 'verified',
            guard: { type: 'isWhole', params: ({ event }) => ({ blob: event.output }) },
            actions: { type: 'keepFound', params: ({ event }) => ({ blob: event.output }) },
          },
          { target: 'fetching' },
        ],
      },
    },
    fetching: {
      invoke: {
        id: 'blob.fetch',
        src: 'blob.fetch',
        input: ({ context: { source, layer, driver } }) => ({
          source,
          layer,
          ...(driver === undefined ? {} : { driver }),
        }),
        onDone: {
          target: 'recording',
          actions: { type: 'keepFetched', params: ({ event }) => ({ blob: event.output }) },
        },
      },
    },
    recording: {
      invoke: {
        id: 'blob.record',
        src: 'blob.record',
        input: ({ context }) => ({ source: context.source, blob: context.fetched as FetchedBlob }),
        onDone: {
          target: 'verified',
          actions: { type: 'keepFound', params: ({ event }) => ({ blob: event.output }) },
        },
      },
    },
    verified: { type: 'final' },
    cancelled: { type: 'final', tags: ['cancelled'] },
  },
  output: ({ context }) => context.blob as LayerBlob,
});
