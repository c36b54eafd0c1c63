import type { Effect } from '#core/effect';
import type { ActivationResult } from '#core/image';
import type { Activations } from '#db/images/index';

export interface ActivationRecordDeps {
  activations: Pick<Activations, 'record'>;
}

/**
 * **Does**: says in the database that an activation is live, and where.
 * **Safe to repeat because**: it writes the same again.
 * **If killed**: the row is 'creating' or 'active'.
 * **Fails with**: `activation_not_found` (it was taken down meanwhile), `database_failed`.
 */
export const activationRecord =
  ({ activations }: ActivationRecordDeps): Effect<ActivationResult, null> =>
  async ({ input, signal }) => {
    signal.throwIfAborted();
    activations.record(input);
    return null;
  };
