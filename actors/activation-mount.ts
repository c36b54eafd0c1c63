import type { Effect } from '#core/effect';
import { unrecoverable } from '#core/errors';
import type { ActivationResult, DriverName } from '#core/image';
import type { Activations } from '#db/images/index';
import type { VolumeDriver } from '#infra/volumes/driver';

export interface ActivationMountDeps {
  activations: Pick<Activations, 'find' | 'tree'>;
  drivers: (name: DriverName) => Pick<VolumeDriver, 'ready' | 'mount'>;
}

/**
 * **Does**: maps and mounts the snapshot of an activation, or attaches it as a device.
 * **Safe to repeat because**: the driver finds what is mounted already.
 * **If killed**: it is mounted or not; the next call finds out, `activation.remove` unmounts.
 * **Fails with**: `activation_not_found`, `volume_missing`, `driver_failed`, `permission`,
 * `command_failed`, `system_call`.
 */
export const activationMount =
  ({ activations, drivers }: ActivationMountDeps): Effect<{ id: string }, ActivationResult> =>
  async ({ input: { id }, signal }) => {
    signal.throwIfAborted();
    const row = activations.find(id);
    if (row === null || row.state === 'removing')
      throw unrecoverable('activation_not_found', 'the activation was taken down meanwhile', {
        op: 'activation.mount',
        subject: id,
      });
    const driver = drivers(row.driver);
    await driver.ready();
    signal.throwIfAborted();
    const { path, rootfs, device } = await driver.mount(activations.tree(row));
    return { id, path, rootfs, device, driver: row.driver };
  };
