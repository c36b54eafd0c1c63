import { assign, enqueueActions, setup } from 'xstate';
import { chainIds } from '#core/chain';
import { effect } from '#core/effect';
import { type ErrorRecord, toErrorRecord, unrecoverable } from '#core/errors';
import type { ChainId } from '#core/ids';
import type { DriverName, LayerBlob, LayerRef, Source } from '#core/image';
import type { ImageManifest } from '#core/source';
import type { BlobInput } from './blob.ts';
import type { UnpackReport, VolumeInput, VolumeResult } from './volume.ts';

/** Makes the base of an image from its ordered layers. Unique by driver and resolved layer list. */
export interface ImageInput {
  driver: DriverName;
  source: Source;
  family: string;
  layers: LayerRef[];
  /** Null for a family of plain layers. */
  manifest: ImageManifest | null;
}

/** What `image.reserve` committed: the image's id, and how its driver wants the layers. */
export interface ReservedImage {
  id: string;
  /** `layer`: a volume for each layer. `image`: one volume for them all. */
  granularity: 'layer' | 'image';
}

/** What `image.register` committed: the ids that stay. An image that was there already keeps its own. */
export interface RegisteredImage {
  id: string;
  /** The id of the base volume. */
  base: string;
}

/** A complete image with its base. */
export interface ImageResult {
  id: string;
  family: string;
  source: Source;
  chain: ChainId;
  layers: LayerBlob[];
  manifest: ImageManifest | null;
  base: { id: string; driver: DriverName; reused: boolean };
  unpacked: UnpackReport;
}

export interface ImageContext extends ImageInput {
  reserved: ReservedImage | null;
  registered: RegisteredImage | null;
  /** By child id, never a counter: a result that comes twice counts once. */
  blobs: Record<string, LayerBlob>;
  volumes: Record<string, VolumeResult>;
  /** The child id of the volume that is being made now. */
  making: string | null;
  error: ErrorRecord | null;
}

const blobId = (position: number): string => `blob.${position}`;
const volumeId = (position: number): string => `volume.${position}`;

/** The verified layers from the lowest on, up to the first that is still missing. */
function readyLayers({ layers, blobs }: ImageContext): LayerBlob[] {
  const ready: LayerBlob[] = [];
  for (let position = 0; position < layers.length; position++) {
    const blob = blobs[blobId(position)];
    if (blob === undefined) break;
    ready.push(blob);
  }
  return ready;
}

/** The positions of the layers that have a volume of their own: all of them, or only the last. */
function volumePositions({ layers, reserved }: ImageContext): number[] {
  return reserved?.granularity === 'layer' ? layers.map((_, position) => position) : [layers.length - 1];
}

/** The next volume to make, when its layers are there and the volumes below are sealed. */
function nextVolume(context: ImageContext): { id: string; input: VolumeInput } | null {
  const position = volumePositions(context).find((p) => context.volumes[volumeId(p)] === undefined);
  const ready = readyLayers(context);
  if (position === undefined || ready.length <= position) return null;
  const layers = ready.slice(0, position + 1);
  return {
    id: volumeId(position),
    input: { driver: context.driver, layers, chains: chainIds(layers.map((layer) => layer.diffId)) },
  };
}

/** Why this blob cannot be that layer of the image, or null: the config says what it must be when uncompressed. */
function mismatchOf(
  { manifest, layers }: ImageContext,
  id: string,
  { diffId }: LayerBlob,
): ErrorRecord | null {
  const position = layers.findIndex((_, each) => blobId(each) === id);
  const wanted = manifest?.diffIds[position];
  if (wanted === undefined || wanted === diffId) return null;
  return toErrorRecord(
    unrecoverable(
      'diff_id_mismatch',
      `the layer unpacks to ${diffId}, the config of its image says ${wanted}`,
      {
        op: 'blob.fetch',
        subject: layers[position]?.key,
        hint: 'the image is broken or was tampered with: nothing of it was kept as an image',
      },
    ),
  );
}

const hasBase = ({ layers, volumes }: ImageContext): boolean =>
  volumes[volumeId(layers.length - 1)] !== undefined;

function sumReports(reports: UnpackReport[]): UnpackReport {
  return {
    entries: reports.reduce((sum, report) => sum + report.entries, 0),
    bytes: reports.reduce((sum, report) => sum + report.bytes, 0),
    warnings: reports.flatMap((report) => report.warnings),
  };
}

function resultOf(context: ImageContext): ImageResult {
  const layers = readyLayers(context);
  const volumes = Object.values(context.volumes);
  const base = context.volumes[volumeId(context.layers.length - 1)] as VolumeResult;
  return {
    id: context.registered?.id ?? context.reserved?.id ?? '',
    family: context.family,
    source: context.source,
    chain: base.chain,
    layers,
    manifest: context.manifest,
    base: {
      id: context.registered?.base ?? base.id,
      driver: context.driver,
      reused: volumes.every((volume) => volume.reused),
    },
    unpacked: sumReports(volumes.filter((volume) => !volume.reused)),
  };
}

export const imageMachine = setup({
  types: {
    input: {} as ImageInput,
    context: {} as ImageContext,
    /** Of a failed run: `{ error }`. */
    output: {} as ImageResult,
    events: {} as
      | { type: 'flyd.cancel' }
      | { type: `xstate.done.actor.blob.${string}`; output: LayerBlob; actorId: string }
      | { type: `xstate.done.actor.volume.${string}`; output: VolumeResult; actorId: string }
      | { type: `xstate.error.actor.${string}`; error: unknown; actorId: string },
    children: {} as { [id: `blob.${number}`]: 'blob'; [id: `volume.${number}`]: 'volume' },
  },
  actors: {
    /** Commits the image's id, after looking whether there is room for it. */
    'image.reserve': effect<ImageInput, ReservedImage>(),
    blob: effect<BlobInput, LayerBlob>(),
    volume: effect<VolumeInput, VolumeResult>(),
    /** Links layers and base to the image and says that it is complete, in one transaction. */
    'image.register': effect<ImageResult, RegisteredImage>(),
    /** Drops the row of an image that will not be complete. */
    'image.release': effect<{ id: string }, null>(),
  },
  actions: {
    keepReserved: assign({ reserved: (_, params: { reserved: ReservedImage }) => params.reserved }),
    keepRegistered: assign({
      registered: (_, params: { registered: RegisteredImage }) => params.registered,
    }),
    keepError: assign({ error: (_, params: { error: unknown }) => params.error as ErrorRecord }),
    keepMismatch: assign({
      error: ({ context }, params: { id: string; blob: LayerBlob }) =>
        mismatchOf(context, params.id, params.blob),
    }),
    keepBlob: assign({
      blobs: ({ context }, params: { id: string; blob: LayerBlob }) => ({
        ...context.blobs,
        [params.id]: params.blob,
      }),
    }),
    keepVolume: assign({
      volumes: ({ context }, params: { id: string; volume: VolumeResult }) => ({
        ...context.volumes,
        [params.id]: params.volume,
      }),
      making: null,
    }),
    startBlobs: enqueueActions(({ context, enqueue }) => {
      context.layers.forEach((layer, position) => {
        enqueue.spawnChild('blob', {
          id: blobId(position) as never,
          input: { source: context.source, layer, driver: context.driver },
        });
      });
    }),
    startNextVolume: enqueueActions(({ context, enqueue, event }) => {
      // A child that is done would stay in the snapshot with its input: a volume's names all layers below it.
      if ('actorId' in event) enqueue.stopChild(event.actorId);
      const next = context.making === null ? nextVolume(context) : null;
      if (next === null) return;
      enqueue.assign({ making: next.id });
      enqueue.spawnChild('volume', { id: next.id as never, input: next.input });
    }),
    stopChildren: enqueueActions(({ context, enqueue }) => {
      context.layers.forEach((_, position) => {
        enqueue.stopChild(blobId(position));
        enqueue.stopChild(volumeId(position));
      });
    }),
  },
  guards: {
    hasBase: ({ context }) => hasBase(context),
    isAnotherLayer: ({ context }, params: { id: string; blob: LayerBlob }) =>
      mismatchOf(context, params.id, params.blob) !== null,
  },
}).createMachine({
  id: 'image',
  context: ({ input }) => ({
    ...input,
    reserved: null,
    registered: null,
    blobs: {},
    volumes: {},
    making: null,
    error: null,
  }),
  initial: 'reserving',
  states: {
    reserving: {
      on: { 'flyd.cancel': 'cancelled' },
      invoke: {
        id: 'image.reserve',
        src: 'image.reserve',
        input: ({ context: { driver, source, family, layers, manifest } }) => ({
          driver,
          source,
          family,
          layers,
          manifest,
        }),
        onDone: {
          target: 'building',
          actions: { type: 'keepReserved', params: ({ event }) => ({ reserved: event.output }) },
        },
      },
    },
    // Layer n is fetched while n-1 is unpacked: a volume starts as soon as its layers are there.
    building: {
      entry: 'startBlobs',
      exit: 'stopChildren',
      always: { target: 'registering', guard: 'hasBase' },
      on: {
        'flyd.cancel': 'cancelling',
        'xstate.done.actor.blob.*': [
          {
            guard: {
              type: 'isAnotherLayer',
              params: ({ event }) => ({ id: event.actorId, blob: event.output }),
            },
            target: 'releasing',
            actions: {
              type: 'keepMismatch',
              params: ({ event }) => ({ id: event.actorId, blob: event.output }),
            },
          },
          {
            actions: [
              { type: 'keepBlob', params: ({ event }) => ({ id: event.actorId, blob: event.output }) },
              'startNextVolume',
            ],
          },
        ],
        'xstate.done.actor.volume.*': {
          actions: [
            { type: 'keepVolume', params: ({ event }) => ({ id: event.actorId, volume: event.output }) },
            'startNextVolume',
          ],
        },
        'xstate.error.actor.*': {
          target: 'releasing',
          actions: { type: 'keepError', params: ({ event }) => ({ error: event.error }) },
        },
      },
    },
    registering: {
      invoke: {
        id: 'image.register',
        src: 'image.register',
        input: ({ context }) => resultOf(context),
        onDone: {
          target: 'complete',
          actions: { type: 'keepRegistered', params: ({ event }) => ({ registered: event.output }) },
        },
        onError: {
          target: 'releasing',
          actions: { type: 'keepError', params: ({ event }) => ({ error: event.error }) },
        },
      },
    },
    releasing: {
      invoke: {
        id: 'image.release',
        src: 'image.release',
        input: ({ context }) => ({ id: context.reserved?.id ?? '' }),
        onDone: 'failed',
        onError: 'failed',
      },
    },
    cancelling: {
      invoke: {
        id: 'image.release',
        src: 'image.release',
        input: ({ context }) => ({ id: context.reserved?.id ?? '' }),
        onDone: 'cancelled',
        onError: 'cancelled',
      },
    },
    complete: { type: 'final' },
    failed: { type: 'final', tags: ['failed'] },
    cancelled: { type: 'final', tags: ['cancelled'] },
  },
  output: ({ context }) =>
    context.error === null && hasBase(context) ? resultOf(context) : ({ error: context.error } as never),
});
