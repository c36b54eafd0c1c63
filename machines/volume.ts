import { assign, setup } from 'xstate';
import { effect } from '#core/effect';
import type { ErrorRecord } from '#core/errors';
import type { ChainId } from '#core/ids';
import type { DriverName, LayerBlob } from '#core/image';

/** Fills one volume with the layers of a chain, in order, and seals it. Unique by driver and chain. */
export interface VolumeInput {
  driver: DriverName;
  /** The chain IDs of every prefix up to this volume's own, which is the last. */
  chains: ChainId[];
  /** The layers of that whole prefix; those that the parent holds already are not applied again. */
  layers: LayerBlob[];
}

/** What `volume.choose` committed before anything is made. */
export interface ChosenVolume {
  id: string;
  /** A sealed volume of this very chain: nothing is left to do. */
  sealed: boolean;
  /** The number of leading layers that the parent volume holds. */
  inherited: number;
}

export interface UnpackReport {
  entries: number;
  /** Bytes that files were given. */
  bytes: number;
  /** Odd things met in the layers, and what could not be kept without root. */
  warnings: { code: string; count: number; example: string }[];
}

export interface VolumeResult extends UnpackReport {
  id: string;
  chain: ChainId;
  reused: boolean;
}

export interface VolumeContext extends VolumeInput {
  chosen: ChosenVolume | null;
  report: UnpackReport;
  error: ErrorRecord | null;
}

const volumeOf = (context: VolumeContext): { driver: DriverName; id: string } => ({
  driver: context.driver,
  id: (context.chosen as ChosenVolume).id,
});

export const volumeMachine = setup({
  types: {
    input: {} as VolumeInput,
    context: {} as VolumeContext,
    /** Of a failed run: `{ error }`. */
    output: {} as VolumeResult,
    events: {} as { type: 'flyd.cancel' },
  },
  actors: {
    /** Commits the id (and device number) of a new volume and finds its parent, or finds the sealed one. */
    'volume.choose': effect<VolumeInput, ChosenVolume>(),
    /** Makes the volume: empty, or a clone of its parent. */
    'volume.create': effect<{ driver: DriverName; id: string }, null>(),
    /** Applies the layers to a clean volume, and syncs it. */
    'volume.unpack': effect<{ driver: DriverName; id: string; layers: LayerBlob[] }, UnpackReport>(),
    /** Unmounts and deactivates it, then says in the database that it is complete. */
    'volume.seal': effect<{ driver: DriverName; id: string }, null>(),
    /** Removes what was made of it. */
    'volume.discard': effect<{ driver: DriverName; id: string }, null>(),
  },
  actions: {
    keepChosen: assign({ chosen: (_, params: { chosen: ChosenVolume }) => params.chosen }),
    keepReport: assign({ report: (_, params: { report: UnpackReport }) => params.report }),
    keepError: assign({ error: (_, params: { error: unknown }) => params.error as ErrorRecord }),
  },
  guards: { isSealed: (_, params: { chosen: ChosenVolume }) => params.chosen.sealed },
}).createMachine({
  id: 'volume',
  context: ({ input }) => ({
    ...input,
    chosen: null,
    report: { entries: 0, bytes: 0, warnings: [] },
    error: null,
  }),
  initial: 'choosing',
  states: {
    choosing: {
      on: { 'flyd.cancel': 'cancelled' },
      invoke: {
        id: 'volume.choose',
        src: 'volume.choose',
        input: ({ context: { driver, chains, layers } }) => ({ driver, chains, layers }),
        onDone: [
          {
            target: 'sealed',
            guard: { type: 'isSealed', params: ({ event }) => ({ chosen: event.output }) },
            actions: { type: 'keepChosen', params: ({ event }) => ({ chosen: event.output }) },
          },
          {
            target: 'making',
            actions: { type: 'keepChosen', params: ({ event }) => ({ chosen: event.output }) },
          },
        ],
      },
    },
    making: {
      initial: 'creating',
      on: { 'flyd.cancel': 'cancelling' },
      states: {
        creating: {
          invoke: {
            id: 'volume.create',
            src: 'volume.create',
            input: ({ context }) => volumeOf(context),
            onDone: 'unpacking',
            onError: {
              target: '#volume.discarding',
              actions: { type: 'keepError', params: ({ event }) => ({ error: event.error }) },
            },
          },
        },
        unpacking: {
          invoke: {
            id: 'volume.unpack',
            src: 'volume.unpack',
            input: ({ context }) => ({
              ...volumeOf(context),
              layers: context.layers.slice((context.chosen as ChosenVolume).inherited),
            }),
            onDone: {
              target: 'sealing',
              actions: { type: 'keepReport', params: ({ event }) => ({ report: event.output }) },
            },
            onError: {
              target: '#volume.discarding',
              actions: { type: 'keepError', params: ({ event }) => ({ error: event.error }) },
            },
          },
        },
        sealing: {
          invoke: {
            id: 'volume.seal',
            src: 'volume.seal',
            input: ({ context }) => volumeOf(context),
            onDone: '#volume.sealed',
            onError: {
              target: '#volume.discarding',
              actions: { type: 'keepError', params: ({ event }) => ({ error: event.error }) },
            },
          },
        },
      },
    },
    discarding: {
      invoke: {
        id: 'volume.discard',
        src: 'volume.discard',
        input: ({ context }) => volumeOf(context),
        onDone: 'failed',
        onError: 'failed',
      },
    },
    cancelling: {
      invoke: {
        id: 'volume.discard',
        src: 'volume.discard',
        input: ({ context }) => volumeOf(context),
        onDone: 'cancelled',
        onError: 'cancelled',
      },
    },
    sealed: { type: 'final' },
    failed: { type: 'final', tags: ['failed'] },
    cancelled: { type: 'final', tags: ['cancelled'] },
  },
  output: ({ context }) =>
    context.error !== null
      ? ({ error: context.error } as never)
      : {
          id: context.chosen?.id ?? '',
          chain: context.chains.at(-1) as ChainId,
          reused: context.chosen?.sealed ?? false,
          ...context.report,
        },
});
