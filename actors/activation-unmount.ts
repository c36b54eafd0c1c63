import type { Effect } from '#core/effect';
import type { DriverName } from '#core/image';
import type { Activations } from '#db/images/index';
import type { VolumeDriver } from '#infra/volumes/driver';
import type { DeactivateInput } from '#machines/deactivate';

export interface ActivationUnmountDeps {
  activations: Pick<Activations, 'find' | 'tree'>;
  drivers: (name: DriverName) => Pick<VolumeDriver, 'ready' | 'unmount'>;
}

/**
 * **Does**: unmounts an activation, or detaches its device; what was written to it stays.
 * **Safe to repeat because**: what is not mounted, or has no row, is success.
 * **If killed**: it is mounted or not; the next call finds out.
 * **Fails with**: `activation_busy` (a process holds it; named), `driver_failed`, `system_call`.
 */
export const activationUnmount =
  ({ activations, drivers }: ActivationUnmountDeps): Effect<DeactivateInput, null> =>
  async ({ input: { id }, signal }) => {
    signal.throwIfAborted();
    const row = activations.find(id);
    if (row === null) return null;
    const driver = drivers(row.driver);
    await driver.ready();
    signal.throwIfAborted();
    await driver.unmount(activations.tree(row));
    return null;
  };
