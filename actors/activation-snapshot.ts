import type { Effect } from '#core/effect';
import { unrecoverable } from '#core/errors';
import type { DriverName } from '#core/image';
import type { Activations } from '#db/images/index';
import type { VolumeDriver } from '#infra/volumes/driver';

export interface ActivationSnapshotDeps {
  activations: Pick<Activations, 'find' | 'tree'>;
  drivers: (name: DriverName) => Pick<VolumeDriver, 'ready' | 'snapshot'>;
}

/**
 * **Does**: makes the snapshot of a chosen activation from the base of its image.
 * **Safe to repeat because**: the driver finds a snapshot that is there, and finishes one that is not.
 * **If killed**: a snapshot of this id may be left, which the next call or `activation.remove` finds.
 * **Fails with**: `activation_not_found`, `volume_missing`, `driver_failed`, `no_space`, `pool_broken`,
 * `command_failed`.
 */
export const activationSnapshot =
  ({ activations, drivers }: ActivationSnapshotDeps): Effect<{ id: string }, null> =>
  async ({ input: { id }, signal }) => {
    signal.throwIfAborted();
    const row = activations.find(id);
    if (row === null || row.state === 'removing')
      throw unrecoverable('activation_not_found', 'the activation was taken down meanwhile', {
        op: 'activation.snapshot',
        subject: id,
      });
    const driver = drivers(row.driver);
    await driver.ready();
    signal.throwIfAborted();
    await driver.snapshot(activations.tree(row));
    return null;
  };
