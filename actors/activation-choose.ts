import type { Effect } from '#core/effect';
import { type FlydError, recoverable, unrecoverable } from '#core/errors';
import { namePattern } from '#core/ids';
import type { ActivationOptions, DriverName } from '#core/image';
import type { Activations, CompleteImage, Images, VolumeRow, Volumes } from '#db/images/index';
import type { VolumeDriver } from '#infra/volumes/driver';
import type { ActivateInput } from '#machines/activate';

export interface ActivationChooseDeps {
  images: Pick<Images, 'find'>;
  volumes: Pick<Volumes, 'find' | 'isDeviceUsed'>;
  activations: Pick<Activations, 'chosen' | 'choose'>;
  drivers: (name: DriverName) => Pick<VolumeDriver, 'can' | 'ready' | 'chooseDevice'>;
  /** Absolute path of the folder that activations are mounted in. */
  mountRoot: string;
  now: () => number;
  newId: (prefix: string) => string;
}

/** How many device numbers may be taken from under our feet before others are let past. */
const triesMax = 8;

/**
 * **Does**: checks what is wanted against what the image's driver can, and commits id, name, mount point
 * and device number of a new activation, before anything of it is made.
 * **Safe to repeat because**: the same effect gets the same row.
 * **If killed**: a row 'creating' without anything in the world may be left; the run finds it again, or
 * the next sweep removes it.
 * **Fails with**: `image_not_found`, `name_taken`, `usage`, `driver_unsupported`, `driver_unavailable`,
 * `pool_missing`, `pool_broken`, `database_failed`.
 */
export const activationChoose =
  (deps: ActivationChooseDeps): Effect<ActivateInput, { id: string }> =>
  async ({ input, signal, effectId }) => {
    signal.throwIfAborted();
    const chosen = deps.activations.chosen(effectId);
    if (chosen !== null) return { id: chosen.id };
    const image = deps.images.find(input.image);
    if (image === null)
      throw unrecoverable('image_not_found', `there is no complete image ${input.image}`, {
        op: 'activation.choose',
        subject: input.image,
        hint: 'list them: flyd images',
      });
    const driver = deps.drivers(image.driver);
    checkOptions(input.options, { image, can: driver.can, base: deps.volumes.find(image.baseLvId) });
    await driver.ready();
    return commit(deps, { driver, image, options: input.options, effect: effectId, signal });
  };

interface Wanted {
  driver: Pick<VolumeDriver, 'chooseDevice'>;
  image: CompleteImage;
  options: ActivationOptions;
  effect: string;
  signal: AbortSignal;
}

async function commit(
  { activations, volumes, mountRoot, now, newId }: ActivationChooseDeps,
  { driver, image, options, effect, signal }: Wanted,
): Promise<{ id: string }> {
  const id = newId('act');
  const mountPoint = `${mountRoot}/${id}`;
  for (let tries = 0; tries < triesMax; tries++) {
    signal.throwIfAborted();
    const device = await driver.chooseDevice((number) => volumes.isDeviceUsed(image.driver, number));
    const row = activations.choose({ id, image: image.id, device, options, mountPoint, effect }, now());
    if (row !== null) return { id: row.id };
  }
  throw recoverable('driver_failed', 'every device number that was free was taken the next moment', {
    op: 'activation.choose',
    subject: id,
  });
}

interface Possible {
  image: CompleteImage;
  can: VolumeDriver['can'];
  base: VolumeRow | null;
}

/** Refuses what cannot be, before anything is made: a later step would fail on the same. */
function checkOptions(options: ActivationOptions, { image, can, base }: Possible): void {
  const { name, sizeBytes, attach, owner } = options;
  if (name !== null && !namePattern.test(name))
    throw refusal('usage', 'a name has lower case letters, digits, dot, dash, underscore', name);
  if (owner !== null && ![owner.uid, owner.gid].every(isId))
    throw refusal('usage', 'an owner is two numbers from 0 to 4294967294', `${owner.uid}:${owner.gid}`);
  if (attach === 'device' && !can.attachDevice)
    throw refusal('driver_unsupported', `the ${image.driver} driver has no device to attach`, image.id);
  if (sizeBytes === null) return;
  if (!can.grow)
    throw refusal('driver_unsupported', `the ${image.driver} driver cannot set a size`, image.id);
  if (sizeBytes < (base?.sizeBytes ?? 0))
    throw refusal(
      'driver_unsupported',
      `${sizeBytes} bytes are less than the ${base?.sizeBytes} of the image: it can only grow`,
      image.id,
    );
}

/** (uid_t) -1 means "leave it" to chown(2). */
const isId = (id: number): boolean => Number.isInteger(id) && id >= 0 && id < 0xffff_ffff;

const refusal = (code: 'usage' | 'driver_unsupported', message: string, subject: string): FlydError =>
  unrecoverable(code, message, {
    op: 'activation.choose',
    subject,
    hint: code === 'usage' ? undefined : 'pull the image with --driver devmapper, or leave this option out',
  });
