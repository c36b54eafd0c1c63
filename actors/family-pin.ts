import type { Effect } from '#core/effect';
import type { LayerBlob, Source } from '#core/image';
import type { enforceLock, lockOf, readLockFile, writeLockFile } from '#infra/lock-file';

export interface FamilyPinDeps {
  readLock: typeof readLockFile;
  writeLock: typeof writeLockFile;
  lockOf: typeof lockOf;
  enforceLock: typeof enforceLock;
}

export interface FamilyPinInput {
  source: Source;
  family: string;
  /** Absolute path. */
  lockFile: string;
  layers: LayerBlob[];
}

/**
 * **Does**: writes what was pulled into the lock file, if there is none yet; one that is there must
 * say the same.
 * **Safe to repeat because**: it looks at the file first, and writes the same bytes.
 * **If killed**: the file is there whole, or not at all.
 * **Fails with**: `lock_mismatch` (somebody pinned other layers meanwhile), `lock_invalid`, `no_space`,
 * `permission`, `system_call`.
 */
export const familyPin =
  (deps: FamilyPinDeps): Effect<FamilyPinInput, null> =>
  async ({ input: { source, family, lockFile, layers }, signal }) => {
    signal.throwIfAborted();
    const lock = await deps.readLock(lockFile);
    if (lock !== null) deps.enforceLock(lock, family, layers);
    else await deps.writeLock(lockFile, deps.lockOf(source, family, layers));
    return null;
  };
