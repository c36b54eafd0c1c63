import type { Effect } from '#core/effect';
import type { DriverName } from '#core/image';
import type { Volumes } from '#db/images/index';
import type { VolumeDriver } from '#infra/volumes/driver';

export interface VolumeDiscardDeps {
  volumes: Pick<Volumes, 'find' | 'tree' | 'discard' | 'forget'>;
  drivers: (name: DriverName) => Pick<VolumeDriver, 'ready' | 'remove'>;
}

/**
 * **Does**: removes what was made of a volume that will not be sealed, then its row.
 * **Safe to repeat because**: removing what is gone is success. A sealed volume is left alone: others may
 * stand on it already.
 * **If killed**: the row is 'removing', and the next call or sweep goes on.
 * **Fails with**: `volume_busy`, `driver_failed`, `pool_broken`, `command_failed`, `database_failed`.
 */
export const volumeDiscard =
  ({ volumes, drivers }: VolumeDiscardDeps): Effect<{ driver: DriverName; id: string }, null> =>
  async ({ input: { driver: name, id }, signal }) => {
    signal.throwIfAborted();
    if (volumes.find(id) === null || !volumes.discard(id)) return null;
    const driver = drivers(name);
    await driver.ready();
    await driver.remove(volumes.tree(id));
    volumes.forget(id);
    return null;
  };
