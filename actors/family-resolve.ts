import type { Effect } from '#core/effect';
import { FlydError, pending } from '#core/errors';
import { type Family, familyPrefix, manifestName, resolveFamily } from '#core/family';
import type { LayerRef, Source } from '#core/image';
import type { Limits } from '#core/limits';
import type { enforceLock, Lock, readLockFile } from '#infra/lock-file';
import type { readManifest } from '#infra/manifest';
import type { ObjectSource } from '#infra/object-source';
import type { ResolvedFamily } from '#machines/pull';

export interface FamilyResolveDeps {
  objects: ObjectSource;
  readManifest: typeof readManifest;
  readLock: typeof readLockFile;
  enforceLock: typeof enforceLock;
  limits: Limits;
}

export interface FamilyResolveInput {
  source: Source;
  family: string;
  /** Absolute path; null without a lock file. */
  lockFile: string | null;
}

/**
 * **Does**: lists the layers of a family in order, with the digests that its manifest and the lock file
 * give beforehand.
 * **Safe to repeat because**: it only reads; the bucket may have changed, and then the answer has.
 * **If killed**: nothing is left.
 * **Fails with**: `family_not_found`, `object_missing` (pending: a layer that manifest or lock file name
 * is not there yet), `lock_mismatch`, `lock_invalid`, `manifest_invalid`, `size_mismatch`,
 * `limit_exceeded`, and as ObjectSource does.
 */
export const familyResolve =
  (deps: FamilyResolveDeps): Effect<FamilyResolveInput, ResolvedFamily> =>
  async ({ input: { source, family, lockFile }, signal }) => {
    signal.throwIfAborted();
    const lock = lockFile === null ? null : await deps.readLock(lockFile);
    const { layers, absent } = await look(deps, { source, family, lock, signal });
    if (lock === null) {
      refuseAbsent(absent);
      return { layers, pinned: false };
    }
    const pinned = new Set(lock.layers.map(({ key }) => key));
    const missing = lock.layers.filter(({ key }) => !layers.some((layer) => layer.key === key));
    // A family that can never fit the lock is refused at once; one that is not whole yet may come to fit.
    if (lock.family === family && layers.every(({ key }) => pinned.has(key))) refuseAbsent(missing);
    const enforced = deps.enforceLock(lock, family, layers);
    refuseAbsent(absent);
    return { layers: enforced, pinned: true };
  };

interface Look {
  source: Source;
  family: string;
  lock: Lock | null;
  signal: AbortSignal;
}

async function look(
  { objects, readManifest, limits }: FamilyResolveDeps,
  { source, family, lock, signal }: Look,
): Promise<Pick<Family, 'layers' | 'absent'>> {
  const prefix = familyPrefix(source, family);
  const listing = await objects.list(source, prefix, { signal });
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
