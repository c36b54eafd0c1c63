import type { Effect } from '#core/effect';
import type { DriverName } from '#core/image';
import type { Volumes } from '#db/images/index';
import type { VolumeDriver } from '#infra/volumes/driver';

export interface VolumeSealDeps {
  volumes: Pick<Volumes, 'find' | 'tree' | 'seal' | 'forget'>;
  drivers: (name: DriverName) => Pick<VolumeDriver, 'ready' | 'close' | 'remove'>;
  now: () => number;
}

/**
 * **Does**: unmounts and deactivates a filled volume, then says in the database that it is complete.
 * Where another volume of the same chain was sealed first, this one is removed: `image.register` takes
 * the one that was.
 * **Safe to repeat because**: closing what is closed is success, a sealed row stays, and a row that is
 * gone had lost.
 * **If killed**: it is open, closed, or sealed; a loser may be left, which the next call or sweep removes.
 * **Fails with**: `volume_missing`, `volume_busy`, `driver_failed`, `system_call` (a write failed),
 * `database_failed`.
 */
export const volumeSeal =
  ({ volumes, drivers, now }: VolumeSealDeps): Effect<{ driver: DriverName; id: string }, null> =>
  async ({ input: { driver: name, id }, signal }) => {
    signal.throwIfAborted();
    const row = volumes.find(id);
    if (row === null || row.state === 'sealed') return null;
    const driver = drivers(name);
    await driver.ready();
    signal.throwIfAborted();
    const volume = volumes.tree(id);
    if (row.state !== 'removing') {
      await driver.close(volume);
      if (volumes.seal(id, now()).id === id) return null;
    }
    await driver.remove(volume);
    volumes.forget(id);
    return null;
  };
