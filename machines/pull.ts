import { assign, setup } from 'xstate';
import { effect } from '#core/effect';
import type { ErrorRecord } from '#core/errors';
import type {
  ActivationOptions,
  ActivationResult,
  DriverName,
  LayerBlob,
  LayerRef,
  Source,
} from '#core/image';
import type { ImageChoice, ImageManifest } from '#core/source';
import type { ActivateInput } from './activate.ts';
import type { ImageInput, ImageResult } from './image.ts';

/** One `flyd pull`: finds the image's layers, has them judged, has the image made, pins it, activates it. */
export interface PullInput {
  source: Source;
  family: string;
  /** Which image of a layout or registry; null for a family, which may turn out to be a layout. */
  choice: ImageChoice | null;
  driver: DriverName;
  /** Absolute path of the lock file to enforce, or to write the first time; null without. */
  lockFile: string | null;
  /** Null: `--no-activate`. */
  activation: ActivationOptions | null;
}

export interface ResolvedFamily {
  layers: LayerRef[];
  /** A lock file, or the digest that was asked for, gave every digest beforehand. */
  pinned: boolean;
  /** Null for a family of plain layers. */
  manifest: ImageManifest | null;
}

export interface ResolveInput {
  source: Source;
  family: string;
  choice: ImageChoice | null;
  /** Absolute path; null without a lock file. */
  lockFile: string | null;
}

export interface VerifyInput {
  source: Source;
  family: string;
  choice: ImageChoice | null;
  layers: LayerRef[];
  manifest: ImageManifest | null;
}

export interface PullResult {
  pinned: boolean;
  image: ImageResult;
  activation: ActivationResult | null;
}

export interface PullContext extends PullInput {
  resolved: ResolvedFamily | null;
  /** How often the bucket changed under the pull. */
  changes: number;
  image: ImageResult | null;
  activated: ActivationResult | null;
}

/** A bucket that changes more often than this during one pull is not going to hold still. */
const changesMax = 5;

export const pullMachine = setup({
  types: {
    input: {} as PullInput,
    context: {} as PullContext,
    output: {} as PullResult,
    events: {} as { type: 'flyd.cancel' },
  },
  actors: {
    /** Lists the layers of a family or an image, in order, with what manifest and lock file know of them. */
    'family.resolve': effect<ResolveInput, ResolvedFamily>(),
    /** Asks the operator's verifier, if there is one. */
    'image.verify': effect<VerifyInput, null>(),
    /** Writes the lock file, if it is not there yet. */
    'family.pin': effect<{ source: Source; family: string; lockFile: string; layers: LayerBlob[] }, null>(),
    image: effect<ImageInput, ImageResult>(),
    activate: effect<ActivateInput, ActivationResult>(),
  },
  actions: {
    keepResolved: assign({ resolved: (_, params: { resolved: ResolvedFamily }) => params.resolved }),
    keepImage: assign({ image: (_, params: { image: ImageResult }) => params.image }),
    keepActivated: assign({ activated: (_, params: { result: ActivationResult }) => params.result }),
    countChange: assign({ changes: ({ context }) => context.changes + 1 }),
  },
  guards: {
    bucketChanged: ({ context }, params: { error: unknown }) =>
      (params.error as ErrorRecord).code === 'object_changed' && context.changes < changesMax,
    wantsLock: ({ context }) => context.lockFile !== null,
    wantsActivation: ({ context }) => context.activation !== null,
  },
}).createMachine({
  id: 'pull',
  context: ({ input }) => ({ ...input, resolved: null, changes: 0, image: null, activated: null }),
  initial: 'resolving',
  on: { 'flyd.cancel': '.cancelled' },
  states: {
    resolving: {
      invoke: {
        id: 'family.resolve',
        src: 'family.resolve',
        input: ({ context: { source, family, choice, lockFile } }) => ({ source, family, choice, lockFile }),
        onDone: {
          target: 'verifying',
          actions: { type: 'keepResolved', params: ({ event }) => ({ resolved: event.output }) },
        },
      },
    },
    // Before a byte of a layer is fetched, and for each pull anew: a policy may have changed.
    verifying: {
      invoke: {
        id: 'image.verify',
        src: 'image.verify',
        input: ({ context: { source, family, choice, resolved } }) => {
          const { layers, manifest } = resolved as ResolvedFamily;
          return { source, family, choice, layers, manifest };
        },
        onDone: 'imaging',
      },
    },
    imaging: {
      invoke: {
        id: 'image',
        src: 'image',
        input: ({ context }) => ({
          driver: context.driver,
          source: context.source,
          family: context.family,
          layers: (context.resolved as ResolvedFamily).layers,
          manifest: (context.resolved as ResolvedFamily).manifest,
        }),
        onDone: {
          target: 'imaged',
          actions: { type: 'keepImage', params: ({ event }) => ({ image: event.output }) },
        },
        // Any other failure is the pull's own: unhandled, it fails the run with the child's error.
        onError: {
          target: 'resolving',
          guard: { type: 'bucketChanged', params: ({ event }) => ({ error: event.error }) },
          actions: 'countChange',
        },
      },
    },
    imaged: {
      always: [
        { target: 'pinning', guard: 'wantsLock' },
        { target: 'activating', guard: 'wantsActivation' },
        { target: 'pulled' },
      ],
    },
    pinning: {
      invoke: {
        id: 'family.pin',
        src: 'family.pin',
        input: ({ context }) => ({
          source: context.source,
          family: context.family,
          lockFile: context.lockFile as string,
          layers: (context.image as ImageResult).layers,
        }),
        onDone: [{ target: 'activating', guard: 'wantsActivation' }, { target: 'pulled' }],
      },
    },
    activating: {
      invoke: {
        id: 'activate',
        src: 'activate',
        input: ({ context }) => ({
          image: (context.image as ImageResult).id,
          options: context.activation as ActivationOptions,
        }),
        onDone: {
          target: 'activated',
          actions: { type: 'keepActivated', params: ({ event }) => ({ result: event.output }) },
        },
      },
    },
    activated: { type: 'final' },
    pulled: { type: 'final' },
    cancelled: { type: 'final', tags: ['cancelled'] },
  },
  output: ({ context }) => ({
    pinned: context.resolved?.pinned ?? false,
    image: context.image as ImageResult,
    activation: context.activated,
  }),
});
