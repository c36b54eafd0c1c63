import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { activationChoose } from '#actors/activation-choose';
import { activationMount } from '#actors/activation-mount';
import { activationRecord } from '#actors/activation-record';
import { activationSnapshot } from '#actors/activation-snapshot';
import { blobFetch } from '#actors/blob-fetch';
import { blobRecord } from '#actors/blob-record';
import { imageRegister } from '#actors/image-register';
import { imageReserve, type SpaceReserve } from '#actors/image-reserve';
import { volumeChoose } from '#actors/volume-choose';
import { volumeCreate } from '#actors/volume-create';
import { volumeSeal } from '#actors/volume-seal';
import { volumeUnpack } from '#actors/volume-unpack';
import { chainIds } from '#core/chain';
import type { Effect, Progress } from '#core/effect';
import type { DiffId, Digest } from '#core/ids';
import type {
  ActivationOptions,
  ActivationResult,
  DriverName,
  LayerBlob,
  LayerRef,
  Source,
} from '#core/image';
import { defaultLimits } from '#core/limits';
import { platformOf } from '#core/platform';
import { activationHolders } from '#infra/activation-holders';
import { createBlobStore } from '#infra/blob-store';
import { createExec } from '#infra/exec';
import { createImageSources } from '#infra/image-sources';
import { unpackLayer } from '#infra/layer/unpack';
import { enforceLock, lockOf, readLockFile, writeLockFile } from '#infra/lock-file';
import { readManifest } from '#infra/manifest';
import { createRegistry } from '#infra/registry';
import { createS3Source } from '#infra/s3';
import { type S3LogEntry, startS3Server } from '#infra/s3-server';
import { volumeFill } from '#infra/volume-fill';
import type { VolumeDriver } from '#infra/volumes/driver';
import { createDrivers } from '#infra/volumes/index';
import { spaceOf } from '#infra/volumes/space';
import type { ImageResult } from '#machines/image';
import { openTestStore, options as plainOptions, type TestStore } from './image-store.ts';
import { type TarEntry, tarOf } from './tar.ts';

/** A layer that is in the bucket, and what it must turn out to be. */
export interface ServedLayer {
  ref: LayerRef;
  /** As a run has it when it was fetched. */
  blob: LayerBlob;
  stored: Buffer;
}

/** Every real part that actors work with: database, blob store, drivers, and a bucket on loopback. */
export type TestParts = Awaited<ReturnType<typeof openTestParts>>;

export async function openTestParts() {
  const db: TestStore = openTestStore();
  const state = join(db.folder, 'state');
  const bucketRoot = join(db.folder, 's3');
  const mountRoot = join(db.folder, 'mnt');
  for (const path of [state, mountRoot, join(bucketRoot, 'layers')])
    mkdirSync(path, { recursive: true, mode: 0o700 });
  const log: S3LogEntry[] = [];
  const server = await startS3Server({ dir: bucketRoot, log: (entry) => void log.push(entry) });
  const objects = createS3Source();
  const registry = createRegistry({ credentials: async () => null, limits: defaultLimits });
  const made = await createDrivers({ stateDir: state, exec: createExec() });
  const source: Source = {
    endpoint: server.endpoint,
    region: 'us-east-1',
    bucket: 'layers',
    prefix: 'images/',
    anonymous: true,
    insecure: false,
  };
  let clock = 1_000;
  const reserve: SpaceReserve = { fraction: 0, bytesMax: 0 };

  return {
    ...db,
    state,
    bucket: join(bucketRoot, 'layers'),
    mountRoot,
    source,
    /** The requests that the bucket has answered. */
    log,
    objects,
    sources: createImageSources({
      objects,
      registry,
      limits: defaultLimits,
      host: platformOf('linux', process.arch),
    }),
    store: createBlobStore(state),
    drivers: (name: DriverName): VolumeDriver => made.byName[name],
    storeSpace: () => spaceOf(state),
    reserve,
    limits: defaultLimits,
    readManifest,
    readLock: readLockFile,
    writeLock: writeLockFile,
    lockOf,
    enforceLock,
    fill: volumeFill,
    unpack: unpackLayer,
    holdersOf: activationHolders,
    holder: 'this-process',
    isAlive: (holder: string): boolean => holder === 'this-process',
    now: (): number => clock++,
    newId: (prefix: string): string => `${prefix}-${randomBytes(8).toString('hex')}`,
    /** Puts a layer into the bucket, compressed with gzip. */
    serve(family: string, name: string, entries: readonly TarEntry[]): ServedLayer {
      const raw = tarOf(entries);
      const stored = gzipSync(raw);
      const key = `images/${family}/${name}`;
      const path = join(bucketRoot, 'layers', key);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, stored);
      const ref = {
        key,
        etag: createHash('md5').update(stored).digest('hex'),
        size: stored.length,
        digest: null,
      };
      const facts = {
        digest: sha256(stored) as Digest,
        diffId: sha256(raw) as DiffId,
        rawSize: raw.length,
        mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' as const,
      };
      return { ref, stored, blob: { ...ref, ...facts, reused: false, fetched: stored.length } };
    },
    async close() {
      objects.close();
      registry.close();
      await server.close();
      unmountBelow(db.folder);
      // Folders without write permission for their owner may be in an unpacked tree.
      spawnSync('chmod', ['-R', 'u+rwX', db.folder]);
      rmSync(db.folder, { recursive: true, force: true });
      db.close();
    },
  };
}

const sha256 = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** The chain IDs of the prefixes of these layers. */
export const chainsOf = (layers: readonly ServedLayer[]) => chainIds(layers.map(({ blob }) => blob.diffId));

function unmountBelow(folder: string): void {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${folder}/`));
  for (const point of points.reverse()) spawnSync('umount', ['-l', point]);
}

export interface RunOptions {
  effectId?: string;
  signal?: AbortSignal;
  progress?: (detail: Progress) => void;
}

/** One attempt of an effect, as the engine would make it: input and output cross JSON. */
export async function run<Input, Output>(
  effect: Effect<Input, Output>,
  input: Input,
  { effectId = 'run-1/effect/1', signal, progress = () => {} }: RunOptions = {},
): Promise<Output> {
  const context = {
    input: throughJson(input),
    effectId,
    attempt: 1,
    saved: null,
    progress,
    heartbeat: () => {},
  };
  return throughJson(await effect({ ...context, signal: signal ?? new AbortController().signal }));
}

const throughJson = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

/** Runs it twice, as after a crash that lost the first result: both must say the same. */
export async function twice<Input, Output>(
  effect: Effect<Input, Output>,
  input: Input,
  options: RunOptions = {},
): Promise<Output> {
  const first = await run(effect, input, options);
  assert.deepEqual(await run(effect, input, options), first, 'the second run says something else');
  return first;
}

/** An aborted signal stops the effect with its own reason, before it has done anything. */
export async function stopsWhenAborted<Input>(effect: Effect<Input, unknown>, input: Input): Promise<void> {
  const reason = new Error('asked to stop');
  await assert.rejects(
    run(effect, input, { signal: AbortSignal.abort(reason) }),
    (thrown) => thrown === reason,
  );
}

/** A layer in the blob store, as its own run leaves it. */
export async function fetchLayer(parts: TestParts, { ref }: ServedLayer): Promise<LayerBlob> {
  const blob = await run(blobFetch(parts), { source: parts.source, layer: ref });
  return run(blobRecord(parts), { source: parts.source, blob });
}

/** A complete image of these layers on the copy driver, made by the actors; gives its id and its base's. */
export async function makeImage(
  parts: TestParts,
  layers: readonly ServedLayer[],
  family = 'go',
): Promise<{ id: string; base: string; layers: LayerBlob[] }> {
  const driver = 'copy' as const;
  const refs = layers.map(({ ref }) => ref);
  const effectId = (name: string): RunOptions => ({ effectId: `${parts.newId('run')}/${name}/1` });
  const wanted = { driver, source: parts.source, family, layers: refs, manifest: null };
  const { id } = await run(imageReserve(parts), wanted, effectId('reserve'));
  const blobs: LayerBlob[] = [];
  for (const layer of layers) blobs.push(await fetchLayer(parts, layer));
  const chains = chainsOf(layers);
  const chosen = await run(volumeChoose(parts), { driver, chains, layers: blobs }, effectId('choose'));
  if (!chosen.sealed) {
    await run(volumeCreate(parts), { driver, id: chosen.id });
    const rest = blobs.slice(chosen.inherited);
    await run(volumeUnpack(parts), { driver, id: chosen.id, layers: rest });
    await run(volumeSeal(parts), { driver, id: chosen.id });
  }
  const result: ImageResult = {
    id,
    family,
    source: parts.source,
    chain: chains.at(-1) as ImageResult['chain'],
    layers: blobs,
    manifest: null,
    base: { id: chosen.id, driver, reused: chosen.sealed },
    unpacked: { entries: 0, bytes: 0, warnings: [] },
  };
  return { ...(await run(imageRegister(parts), result, effectId('register'))), layers: blobs };
}

/** A live activation of an image, made by the actors. */
export async function activate(
  parts: TestParts,
  image: string,
  options: Partial<ActivationOptions> = {},
): Promise<ActivationResult> {
  const wanted = { image, options: { ...plainOptions, ...options } };
  const { id } = await run(activationChoose(parts), wanted, { effectId: parts.newId('run') });
  await run(activationSnapshot(parts), { id });
  const result = await run(activationMount(parts), { id });
  await run(activationRecord(parts), result);
  return result;
}
