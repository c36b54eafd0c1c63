import type { Effect } from '#core/effect';
import { unrecoverable } from '#core/errors';
import type { DriverName } from '#core/image';
import type { Volumes } from '#db/images/index';
import type { VolumeDriver } from '#infra/volumes/driver';

export interface VolumeCreateDeps {
  volumes: Pick<Volumes, 'find' | 'tree' | 'created'>;
  drivers: (name: DriverName) => Pick<VolumeDriver, 'ready' | 'create'>;
}

/**
 * **Does**: makes a chosen volume in the world, empty or as a clone of its parent.
 * **Safe to repeat because**: what an earlier call left is removed first: nothing has been put into it
 * before this effect is over. A sealed volume is left alone.
 * **If killed**: something half-made of this id may be left, which the next call or `volume.discard`
 * removes.
 * **Fails with**: `volume_missing`, `driver_failed`, `no_space`, `pool_broken`, `command_failed`.
 */
export const volumeCreate =
  ({ volumes, drivers }: VolumeCreateDeps): Effect<{ driver: DriverName; id: string }, null> =>
  async ({ input: { driver: name, id }, signal }) => {
    signal.throwIfAborted();
    const row = volumes.find(id);
    if (row === null || row.state === 'removing')
      throw unrecoverable('volume_missing', 'the volume was removed meanwhile', {
        op: 'volume.create',
        subject: id,
      });
    if (row.state === 'sealed') return null;
    const driver = drivers(name);
    await driver.ready();
    signal.throwIfAborted();
    await driver.create(volumes.tree(id));
    volumes.created(id);
    return null;
  };
