import assert from 'node:assert/strict';
import type { DiffId, Digest } from '#core/ids';
import type { ActivationResult, LayerBlob, LayerRef, Source } from '#core/image';
import { type Definition, defineMachine } from '#engine/index';
import {
  cancelCall,
  type Random,
  retryCall,
  type Simulate,
  startCall,
  type Workload,
  waitCall,
} from '#engine/testing/index';
import { type ActivateInput, activateMachine } from '#machines/activate';
import { type BlobInput, blobMachine, type FetchedBlob } from '#machines/blob';
import { type DeactivateInput, deactivateMachine } from '#machines/deactivate';
import {
  type ImageInput,
  type ImageResult,
  imageMachine,
  type RegisteredImage,
  type ReservedImage,
} from '#machines/image';
import {
  type PullResult,
  pullMachine,
  type ResolvedFamily,
  type ResolveInput,
  type VerifyInput,
} from '#machines/pull';
import { type RemoveInput, removeMachine } from '#machines/remove';
import { type SweepInput, type SweepReport, sweepMachine } from '#machines/sweep';
import { type ChosenVolume, type UnpackReport, type VolumeInput, volumeMachine } from '#machines/volume';

/** The run in whose effect this image was reserved. */
const runOf = (image: string): string => image.slice('img-'.length, image.indexOf('/'));

type OneVolume = { driver: VolumeInput['driver']; id: string };

const source: Source = {
  endpoint: 'http://127.0.0.1:1',
  region: 'us-east-1',
  bucket: 'b',
  prefix: 'images/',
  anonymous: true,
  insecure: false,
};
const layer = (n: number): LayerRef => ({
  key: `images/go/${n}.tar`,
  etag: `e${n}`,
  size: 10 + n,
  digest: null,
});
const hex = (n: number): string => n.toString(16).padStart(64, '0');
const fetched = ({ key, etag, size }: LayerRef): FetchedBlob => ({
  key,
  etag,
  size,
  digest: `sha256:${hex(size)}` as Digest,
  diffId: `sha256:${hex(size + 1000)}` as DiffId,
  rawSize: size * 2,
  mediaType: 'application/vnd.oci.image.layer.v1.tar',
  fetched: size,
});

/** A host's images, as far as the machines can tell: volumes made, sealed and discarded, mounts, rows. */
class Host {
  readonly blobs = new Map<string, LayerBlob>();
  /** By chain: what was chosen for it. */
  readonly volumes = new Map<string, { id: string; state: 'chosen' | 'made' | 'sealed'; layers: number }>();
  readonly images = new Map<string, 'reserved' | 'complete'>();
  readonly mounts = new Set<string>();

  volume(id: string) {
    return [...this.volumes.values()].find((volume) => volume.id === id);
  }

  forget(id: string): void {
    for (const [chain, volume] of this.volumes) if (volume.id === id) this.volumes.delete(chain);
  }
}

/** What can only be tried again: compensation and bookkeeping, whose failure nobody handles. */
const mendable = ['recoverable', 'pending', 'unclassified'] as const;

function pullMachines(host: Host, layers: LayerRef[], simulate: Simulate): Definition {
  const blob = defineMachine({
    name: 'blob',
    version: 1,
    machine: blobMachine,
    key: ({ layer: { key, etag } }) => `${key} ${etag}`,
    queue: 'blob',
    actors: {
      'blob.find': simulate<BlobInput, LayerBlob | null>('blob.find', {
        act: ({ input }) => host.blobs.get(input.layer.key) ?? null,
      }),
      'blob.fetch': simulate<BlobInput, FetchedBlob>('blob.fetch', {
        act: ({ input }) => fetched(input.layer),
      }),
      'blob.record': simulate<{ source: Source; blob: FetchedBlob }, LayerBlob>('blob.record', {
        act: ({ input }) => {
          const whole = { ...input.blob, reused: false };
          host.blobs.set(whole.key, { ...whole, reused: true });
          return whole;
        },
      }),
    },
  });
  const volume = defineMachine({
    name: 'volume',
    version: 1,
    machine: volumeMachine,
    key: ({ driver, chains }) => `${driver} ${chains.at(-1)}`,
    actors: {
      'volume.choose': simulate<VolumeInput, ChosenVolume>('volume.choose', {
        act: ({ input, effectId }) => {
          const chain = input.chains.at(-1) ?? '';
          const there = host.volumes.get(chain);
          const chosen = there ?? {
            id: `vol-${effectId}`,
            state: 'chosen' as const,
            layers: input.layers.length,
          };
          host.volumes.set(chain, chosen);
          return { id: chosen.id, sealed: chosen.state === 'sealed', inherited: input.layers.length - 1 };
        },
      }),
      'volume.create': simulate<OneVolume, null>('volume.create', {
        act: ({ input }) => {
          const chosen = host.volume(input.id);
          assert.ok(chosen !== undefined && chosen.state !== 'sealed', 'only a chosen volume is made');
          chosen.state = 'made';
          return null;
        },
      }),
      'volume.unpack': simulate<OneVolume & { layers: LayerBlob[] }, UnpackReport>('volume.unpack', {
        act: ({ input }) => {
          assert.equal(host.volume(input.id)?.state, 'made', 'a volume is unpacked into after it is made');
          assert.equal(input.layers.length, 1, 'the lower layers are there already');
          return { entries: 1, bytes: 2, warnings: [] };
        },
        msMax: 200,
      }),
      'volume.seal': simulate<OneVolume, null>('volume.seal', {
        act: ({ input }) => {
          const made = host.volume(input.id);
          assert.ok(made !== undefined && made.state !== 'chosen', 'only a volume that was made is sealed');
          made.state = 'sealed';
          return null;
        },
      }),
      'volume.discard': simulate<OneVolume, null>('volume.discard', {
        act: ({ input }) => {
          host.forget(input.id);
          return null;
        },
        fails: mendable,
      }),
    },
  });
  const image = defineMachine({
    name: 'image',
    version: 1,
    machine: imageMachine,
    key: ({ layers: list }) => list.map(({ key, etag }) => `${key} ${etag}`).join(),
    actors: {
      'image.reserve': simulate<ImageInput, ReservedImage>('image.reserve', {
        act: ({ effectId }) => {
          host.images.set(`img-${effectId}`, 'reserved');
          return { id: `img-${effectId}`, granularity: 'layer' };
        },
        fails: mendable,
      }),
      'image.register': simulate<ImageResult, RegisteredImage>('image.register', {
        act: ({ input }) => {
          host.images.set(input.id, 'complete');
          return { id: input.id, base: input.base.id };
        },
        fails: mendable,
      }),
      'image.release': simulate<{ id: string }, null>('image.release', {
        act: ({ input }) => {
          host.images.delete(input.id);
          return null;
        },
        fails: mendable,
      }),
      blob,
      volume,
    },
  });
  const activate = defineMachine({
    name: 'activate',
    version: 1,
    machine: activateMachine,
    actors: {
      'activation.choose': simulate<ActivateInput, { id: string }>('activation.choose', {
        act: ({ effectId }) => ({ id: `act-${effectId}` }),
      }),
      'activation.snapshot': simulate<{ id: string }, null>('activation.snapshot', { act: () => null }),
      'activation.mount': simulate<{ id: string }, ActivationResult>('activation.mount', {
        act: ({ input: { id } }) => {
          host.mounts.add(id);
          return { id, path: '/m', rootfs: '/m/rootfs', device: null, driver: 'copy' };
        },
      }),
      'activation.record': simulate<ActivationResult, null>('activation.record', {
        act: () => null,
        fails: mendable,
      }),
      'activation.remove': simulate<{ id: string; force: boolean }, null>('activation.remove', {
        act: ({ input }) => {
          host.mounts.delete(input.id);
          return null;
        },
        fails: mendable,
      }),
    },
  });
  return defineMachine({
    name: 'pull',
    version: 1,
    machine: pullMachine,
    actors: {
      'family.resolve': simulate<ResolveInput, ResolvedFamily>('family.resolve', {
        act: () => ({ layers, pinned: false, manifest: null }),
      }),
      'image.verify': simulate<VerifyInput, null>('image.verify', { act: () => null }),
      'family.pin': simulate<{ source: Source; family: string; lockFile: string; layers: LayerBlob[] }, null>(
        'family.pin',
        { act: () => null },
      ),
      image,
      activate,
    },
  });
}

function removeMachines(host: Host, simulate: Simulate): Definition[] {
  const deactivate = defineMachine({
    name: 'deactivate',
    version: 1,
    machine: deactivateMachine,
    key: ({ id }) => id,
    actors: {
      'activation.unmount': simulate<DeactivateInput, null>('activation.unmount', {
        act: () => null,
        fails: mendable,
      }),
      'activation.remove': simulate<DeactivateInput, null>('activation.remove', {
        act: ({ input }) => {
          host.mounts.delete(input.id);
          return null;
        },
        fails: mendable,
      }),
    },
  });
  const sweep = defineMachine({
    name: 'sweep',
    version: 1,
    machine: sweepMachine,
    key: () => 'sweep',
    actors: {
      'store.sweep': simulate<SweepInput, SweepReport>('store.sweep', {
        act: () => ({ blobs: 0, volumes: 0, activations: 0, partials: 0, bytes: 0 }),
      }),
    },
  });
  const remove = defineMachine({
    name: 'remove',
    version: 1,
    machine: removeMachine,
    key: ({ image }) => image,
    actors: {
      'image.check': simulate<RemoveInput, { live: string[] }>('image.check', {
        act: () => ({ live: ['act-old-0', 'act-old-1'].filter((id) => host.mounts.has(id)) }),
      }),
      'image.drop': simulate<{ image: string }, null>('image.drop', { act: () => null }),
      deactivate,
      sweep,
    },
  });
  return [remove, deactivate, sweep];
}

/** flyd's own machines: pulls that share an image and its layers, beside a removal and a sweep. */
export const flydWorkload: Workload = {
  name: 'flyd',
  queues: { blob: 2 },
  create(random: Random) {
    const host = new Host();
    host.mounts.add('act-old-0').add('act-old-1');
    const layers = Array.from({ length: 1 + random.int(3) }, (_, n) => layer(n));
    const pulls = Array.from({ length: 1 + random.int(2) }, (_, n) => `pull-${n}`);
    const activation = {
      name: null,
      sizeBytes: null,
      readOnly: false,
      suid: false,
      dev: false,
      owner: null,
      attach: 'mount',
    };
    return {
      machines: (simulate) => [pullMachines(host, layers, simulate), ...removeMachines(host, simulate)],
      calls: [
        ...pulls.flatMap((id) => [
          startCall(
            'pull',
            id,
            {
              source: { ...source },
              family: 'go',
              driver: 'copy',
              lockFile: random.chance(0.3) ? '/lock' : null,
              activation: random.chance(0.8) ? activation : null,
            },
            random.int(200),
          ),
          ...(random.chance(0.3) ? [cancelCall(id, random.int(900))] : []),
          ...(random.chance(0.4) ? [retryCall(id, random.int(1500))] : []),
          waitCall(id, random.int(300)),
        ]),
        ...(random.chance(0.3)
          ? [startCall('remove', 'remove-old', { image: 'old', force: true }, random.int(300))]
          : []),
      ],
      atEnd({ runs }) {
        for (const { id, machine, status, output } of runs) {
          if (machine !== 'pull' || status !== 'done') continue;
          const { image, activation: active } = output as unknown as PullResult;
          assert.equal(host.images.get(image.id), 'complete', `${id} is done: its image is complete`);
          assert.equal(host.volume(image.base.id)?.state, 'sealed', `${id} is done: its base is sealed`);
          assert.equal(image.layers.length, layers.length, `${id} is done with all its layers`);
          if (active !== null) assert.ok(host.mounts.has(active.id), `${id} is done: it is mounted`);
        }
        // A cancel that breaks off the reserving itself leaves a row, which the sweep removes: its id was never known.
        const known = new Set(
          runs.flatMap(({ id, events }) => (events.includes('xstate.done.actor.image.reserve') ? [id] : [])),
        );
        for (const [id, state] of host.images)
          assert.ok(state === 'complete' || !known.has(runOf(id)), `${id} was left reserved`);
        for (const { id, state } of host.volumes.values())
          assert.notEqual(state, 'made', `volume ${id} was left half made`);
        const mounted = runs.flatMap(({ machine, status, output }) =>
          machine === 'activate' && status === 'done' ? [(output as unknown as ActivationResult).id] : [],
        );
        for (const id of host.mounts)
          assert.ok(id.startsWith('act-old-') || mounted.includes(id), `${id} was left mounted`);
      },
    };
  },
};
