import type { Effect } from '#core/effect';
import { FlydError, pending, unrecoverable } from '#core/errors';
import { type Family, familyPrefix, manifestName, resolveFamily } from '#core/family';
import type { LayerRef } from '#core/image';
import type { Limits } from '#core/limits';
import type { ImageChoice, S3Source } from '#core/source';
import type { Configs } from '#db/images/index';
import type { ImageSources } from '#infra/image-sources';
import type { enforceLock, Lock, readLockFile } from '#infra/lock-file';
import type { readManifest } from '#infra/manifest';
import type { ObjectFacts, ObjectSource } from '#infra/object-source';
import type { ResolvedFamily, ResolveInput } from '#machines/pull';

export interface FamilyResolveDeps {
  objects: ObjectSource;
  sources: Pick<ImageSources, 'resolve'>;
  configs: Pick<Configs, 'keep'>;
  readManifest: typeof readManifest;
  readLock: typeof readLockFile;
  enforceLock: typeof enforceLock;
  limits: Limits;
  now: () => number;
}

/**
 * **Does**: lists the layers of a family or of an OCI image in order, with the digests that manifest and
 * lock file give beforehand; keeps the config of an OCI image. Under a prefix with `oci-layout` there is
 * a layout, else a family.
 * **Safe to repeat because**: it reads, and keeps the same text under its digest again; the source may
 * have changed, and then the answer has.
 * **If killed**: a config that no image has may be left, until the next sweep.
 * **Fails with**: `family_not_found`, `reference_not_found`, `object_missing` (pending: a layer that
 * manifest or lock file name is not there yet), `lock_mismatch`, `lock_invalid`, `manifest_invalid`,
 * `size_mismatch`, `digest_mismatch`, `layer_unsupported`, `limit_exceeded`, `database_failed`, and as
 * ObjectSource does.
 */
export const familyResolve =
  (deps: FamilyResolveDeps): Effect<ResolveInput, ResolvedFamily> =>
  async ({ input, signal }) => {
    signal.throwIfAborted();
    const { source, family, lockFile } = input;
    const choice = input.choice ?? null; // an effect that version 1 of the machine stored has none
    const lock = lockFile === null ? null : await deps.readLock(lockFile);
    if (source.kind !== undefined) return ofImage(deps, { ...input, prefix: '', lock, signal });
    const prefix = familyPrefix(source, family);
    const listing = await deps.objects.list(source, prefix, { signal });
    if (isLayout(prefix, listing)) return ofImage(deps, { ...input, choice, prefix, lock, signal });
    refuseChoice(prefix, choice);
    return ofFamily(deps, { source, family, prefix, listing, lock, signal });
  };

/** Files of these names make a layout (image-layout.md); no family of layers has both. */
const isLayout = (prefix: string, listing: readonly ObjectFacts[]): boolean =>
  ['oci-layout', 'index.json'].every((name) => listing.some(({ key }) => key === `${prefix}${name}`));

interface ImageLook extends Omit<ResolveInput, 'lockFile'> {
  prefix: string;
  lock: Lock | null;
  signal: AbortSignal;
}

async function ofImage(
  { sources, configs, enforceLock, now }: FamilyResolveDeps,
  { source, family, choice, prefix, lock, signal }: ImageLook,
): Promise<ResolvedFamily> {
  const { layers, manifest, config } = await sources.resolve(source, { choice, prefix }, { signal });
  signal.throwIfAborted();
  const enforced = lock === null ? layers : enforceLock(lock, family, layers);
  configs.keep(manifest.config, config.toString('utf8'), now());
  return { layers: enforced, pinned: lock !== null || (choice?.digest ?? null) !== null, manifest };
}

function refuseChoice(prefix: string, choice: ImageChoice | null): void {
  if (choice === null || (choice.tag === null && choice.digest === null && choice.platform === null)) return;
  throw unrecoverable('reference_not_found', 'there is no OCI layout here to choose an image from', {
    op: 'family.resolve',
    subject: prefix,
    hint: 'a family of plain layers has no tags, digests or platforms: leave them out',
  });
}

async function ofFamily(deps: FamilyResolveDeps, wanted: Look): Promise<ResolvedFamily> {
  const { family, lock } = wanted;
  const { layers, absent } = await look(deps, wanted);
  if (lock === null) {
    refuseAbsent(absent);
    return { layers, pinned: false, manifest: null };
  }
  const pinned = new Set(lock.layers.map(({ key }) => key));
  const missing = lock.layers.filter(({ key }) => !layers.some((layer) => layer.key === key));
  // A family that can never fit the lock is refused at once; one that is not whole yet may come to fit.
  if (lock.family === family && layers.every(({ key }) => pinned.has(key))) refuseAbsent(missing);
  const enforced = deps.enforceLock(lock, family, layers);
  refuseAbsent(absent);
  return { layers: enforced, pinned: true, manifest: null };
}

interface Look {
  source: S3Source;
  family: string;
  prefix: string;
  listing: readonly ObjectFacts[];
  lock: Lock | null;
  signal: AbortSignal;
}

async function look(
  { objects, readManifest, limits }: FamilyResolveDeps,
  { source, family, prefix, listing, lock, signal }: Look,
): Promise<Pick<Family, 'layers' | 'absent'>> {
  const hasManifest = listing.some(({ key }) => key === `${prefix}${manifestName}`);
  const manifest = hasManifest ? await readManifest(objects, { source, prefix, limits }, { signal }) : null;
  signal.throwIfAborted();
  try {
    return resolveFamily(prefix, listing, manifest, limits);
  } catch (error) {
    // The lock file knows layers of this family, so it exists: they are not there yet.
    const expected =
      lock?.family === family && error instanceof FlydError && error.code === 'family_not_found';
    if (expected) return { layers: [] as LayerRef[], absent: [] };
    throw error;
  }
}

function refuseAbsent(absent: readonly { key: string }[]): void {
  const [first] = absent;
  if (first === undefined) return;
  const more = absent.length === 1 ? '' : ` and ${absent.length - 1} more`;
  throw pending('object_missing', `the source does not have ${first.key}${more} yet`, {
    op: 'family.resolve',
    subject: first.key,
    hint: 'flyd looks again by itself; flyd resume looks at once',
    facts: { missing: absent.length },
  });
}
