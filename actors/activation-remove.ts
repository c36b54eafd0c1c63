import type { Effect } from '#core/effect';
import type { DriverName } from '#core/image';
import type { Activations } from '#db/images/index';
import type { VolumeDriver } from '#infra/volumes/driver';
import type { DeactivateInput } from '#machines/deactivate';

export interface ActivationRemoveDeps {
  activations: Pick<Activations, 'find' | 'tree' | 'removing' | 'forget'>;
  drivers: (name: DriverName) => Pick<VolumeDriver, 'ready' | 'unmount' | 'discard'>;
  now: () => number;
}

/**
 * **Does**: unmounts an activation, discards its snapshot with all that was written to it, and drops its
 * row.
 * **Safe to repeat because**: what is gone from world or database is success.
 * **If killed**: the row is 'removing', and the next call or sweep goes on.
 * **Fails with**: `activation_busy` (a process holds it; then nothing is discarded), `driver_failed`,
 * `command_failed`, `system_call`, `database_failed`.
 */
export const activationRemove =
  ({ activations, drivers, now }: ActivationRemoveDeps): Effect<DeactivateInput, null> =>
  async ({ input: { id }, signal }) => {
    signal.throwIfAborted();
    const row = activations.find(id);
    if (row === null) return null;
    const driver = drivers(row.driver);
    const activation = activations.tree(row);
    await driver.ready();
    signal.throwIfAborted();
    await driver.unmount(activation);
    // From here on its content is lost: nobody may take it for live.
    activations.removing(id, now());
    await driver.discard(activation);
    activations.forget(id);
    return null;
  };
