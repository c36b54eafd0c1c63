import type { Effect } from '#core/effect';
import { recoverable } from '#core/errors';
import type { DriverName } from '#core/image';
import type { VolumePlan, VolumeRow, Volumes } from '#db/images/index';
import type { VolumeDriver } from '#infra/volumes/driver';
import type { ChosenVolume, VolumeInput } from '#machines/volume';

export interface VolumeChooseDeps {
  volumes: Pick<Volumes, 'plan' | 'touch' | 'choose' | 'find' | 'isDeviceUsed'>;
  drivers: (name: DriverName) => Pick<VolumeDriver, 'ready' | 'chooseDevice' | 'chooseSize' | 'parts'>;
  now: () => number;
  newId: (prefix: string) => string;
}

/** How often the database may change between a plan and its commit before others are let past. */
const triesMax = 8;

/**
 * **Does**: finds the sealed volume of a chain; else commits id, parent (the sealed volume of the longest
 * prefix) and device number of a new one, before anything of it is made.
 * What was prepared of a layer whose volume is sealed already is dropped.
 * **Safe to repeat because**: the same effect gets the same row, whatever became of others meanwhile.
 * **If killed**: a row 'creating' without anything in the world may be left; the run finds it again, or
 * the next sweep removes it.
 * **Fails with**: `volume_busy` (recoverable: it is being removed, or the database kept changing),
 * `driver_unavailable`, `pool_missing`, `pool_broken`, `database_failed`.
 */
export const volumeChoose =
  (deps: VolumeChooseDeps): Effect<VolumeInput, ChosenVolume> =>
  async ({ input, signal, effectId }) => {
    const { volumes, now } = deps;
    const wanted = { driver: input.driver, chains: input.chains, effect: effectId };
    for (let tries = 0; tries < triesMax; tries++) {
      signal.throwIfAborted();
      const plan = volumes.plan(wanted);
      if (plan.kind === 'new') {
        const made = await commit(deps, plan, wanted);
        if (made !== null) return describe(deps, made);
      } else if (plan.kind === 'chosen' || volumes.touch(plan.volume.id, now())) {
        const chosen = describe(deps, plan.volume);
        const top = input.layers.at(-1);
        if (chosen.sealed && top !== undefined) await deps.drivers(input.driver).parts?.drop(top.digest);
        return chosen;
      }
    }
    throw recoverable('volume_busy', 'other pulls kept changing the volumes of this chain', {
      op: 'volume.choose',
      subject: input.chains.at(-1),
    });
  };

type Wanted = Pick<VolumeInput, 'driver' | 'chains'> & { effect: string };

/** Null when the plan holds no more. */
async function commit(
  { volumes, drivers, now, newId }: VolumeChooseDeps,
  { parent }: Extract<VolumePlan, { kind: 'new' }>,
  wanted: Wanted,
): Promise<VolumeRow | null> {
  const driver = drivers(wanted.driver);
  await driver.ready();
  const device = await driver.chooseDevice((number) => volumes.isDeviceUsed(wanted.driver, number));
  const sizeBytes = driver.chooseSize(parent?.sizeBytes ?? null);
  return volumes.choose(
    { ...wanted, id: newId('vol'), parent: parent?.id ?? null, device, sizeBytes },
    now(),
  );
}

function describe({ volumes }: VolumeChooseDeps, volume: VolumeRow): ChosenVolume {
  if (volume.state === 'removing')
    throw recoverable('volume_busy', 'the volume is just being removed', {
      op: 'volume.choose',
      subject: volume.id,
    });
  if (volume.state === 'sealed') return { id: volume.id, sealed: true, inherited: volume.layers };
  const below = volume.parent === null ? null : volumes.find(volume.parent);
  return { id: volume.id, sealed: false, inherited: below?.layers ?? 0 };
}
