import type { Effect } from '#core/effect';
import { toErrorRecord } from '#core/errors';
import type { DriverName } from '#core/image';
import type { ActivationRow, Activations } from '#db/images/index';
import type { VolumeDriver } from '#infra/volumes/driver';
import type { PoolState } from '#infra/volumes/pool-state';
import type { RestoreReport } from '#machines/restore';

export interface StoreRestoreDeps {
  activations: Pick<Activations, 'settled' | 'find' | 'tree' | 'record' | 'removing' | 'forget'>;
  drivers: (name: DriverName) => Pick<VolumeDriver, 'ready' | 'mount' | 'discard'>;
  /** Whether what the row says to be mounted or mapped is so. */
  isInPlace: (row: ActivationRow) => Promise<boolean>;
  /** How the pool stands; null without one. Looks only. */
  poolState: () => Promise<PoolState | null>;
  now: () => number;
}

/**
 * **Does**: maps and mounts again what is active and no longer in place, as after a reboot: loops, pool
 * and mappings come with the driver. An ephemeral activation is removed instead. One that fails does not
 * keep the others from coming back.
 * **Safe to repeat because**: what is in place is left alone, and the driver finds what is half-way.
 * **If killed**: some are back; the next call does the rest.
 * **Fails with**: `database_failed`; what happens to one activation is in the report.
 */
export const storeRestore =
  (deps: StoreRestoreDeps): Effect<Record<string, never>, RestoreReport> =>
  async ({ signal }) => {
    const report: RestoreReport = { pool: null, restored: [], removed: [], failed: [] };
    const lost = await lostOf(deps);
    const before = lost.some(({ driver }) => driver === 'devmapper') ? await deps.poolState() : null;
    const isWanted = (id: string): boolean => deps.activations.settled().some((row) => row.id === id);
    for (const row of lost) {
      signal.throwIfAborted();
      if (!isWanted(row.id)) continue; // a run that takes it down has begun meanwhile
      const ephemeral = row.options.ephemeral === true;
      try {
        if (ephemeral) await remove(deps, row);
        else await bringBack(deps, row);
        (ephemeral ? report.removed : report.restored).push(row.id);
      } catch (error) {
        signal.throwIfAborted();
        if (!isWanted(row.id)) continue;
        report.failed.push({ id: row.id, error: toErrorRecord(error) });
      }
    }
    if (before !== null) report.pool = poolNews(before, await deps.poolState());
    return report;
  };

async function lostOf({ activations, isInPlace }: StoreRestoreDeps): Promise<ActivationRow[]> {
  const lost: ActivationRow[] = [];
  for (const row of activations.settled()) if (!(await isInPlace(row))) lost.push(row);
  return lost;
}

async function bringBack({ activations, drivers }: StoreRestoreDeps, row: ActivationRow): Promise<void> {
  const driver = drivers(row.driver);
  await driver.ready();
  const place = await driver.mount(activations.tree(row));
  if (activations.find(row.id) === null) return driver.discard(activations.tree(row)); // it was taken down just now
  activations.record({ id: row.id, driver: row.driver, ...place });
}

async function remove({ activations, drivers, now }: StoreRestoreDeps, row: ActivationRow): Promise<void> {
  const driver = drivers(row.driver);
  await driver.ready();
  activations.removing(row.id, now());
  await driver.discard(activations.tree(row));
  activations.forget(row.id);
}

function poolNews(before: PoolState, after: PoolState | null): RestoreReport['pool'] {
  const attached = (after?.attached ?? []).filter((file) => !before.attached.includes(file));
  return { name: before.name, attached, mapped: after?.mapped === true && !before.mapped };
}
