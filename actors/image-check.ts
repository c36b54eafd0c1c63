import type { Effect } from '#core/effect';
import { unrecoverable } from '#core/errors';
import type { ActivationRow, Activations, Images } from '#db/images/index';
import type { ActivationPlace } from '#infra/volumes/driver';
import type { RemoveInput } from '#machines/remove';

export interface ImageCheckDeps {
  images: Pick<Images, 'find'>;
  activations: Pick<Activations, 'ofImage'>;
  /** Who uses an activation, for people; null when nobody does. */
  holdersOf: (place: ActivationPlace) => Promise<string | null>;
}

/**
 * **Does**: lists the activations of an image that is to be removed. Refuses when there are some and
 * they are not to be taken down, or when a process holds one: then none is touched.
 * **Safe to repeat because**: it only looks.
 * **If killed**: nothing is left.
 * **Fails with**: `image_not_found`, `image_in_use`, `activation_busy`.
 */
export const imageCheck =
  ({ images, activations, holdersOf }: ImageCheckDeps): Effect<RemoveInput, { live: string[] }> =>
  async ({ input: { image, force }, signal }) => {
    signal.throwIfAborted();
    if (images.find(image) === null)
      throw unrecoverable('image_not_found', `there is no complete image ${image}`, {
        op: 'image.check',
        subject: image,
        hint: 'list them: flyd images',
      });
    const rows = activations.ofImage(image);
    const live = rows.map(({ id }) => id);
    if (rows.length > 0 && !force)
      throw unrecoverable('image_in_use', `the image has live activations: ${rows.map(nameOf).join(', ')}`, {
        op: 'image.check',
        subject: image,
        hint: 'flyd deactivate each of them, or use --force',
        facts: { activations: live.join(' ') },
      });
    for (const { id, path, rootfs, devicePath } of rows) {
      const holders = await holdersOf({ path, rootfs, device: devicePath });
      signal.throwIfAborted();
      if (holders !== null)
        throw unrecoverable('activation_busy', `activation ${id} is held by ${holders}`, {
          op: 'image.check',
          subject: id,
          hint: 'end or leave what holds it, then try again',
        });
    }
    return { live };
  };

const nameOf = ({ id, name }: ActivationRow): string => (name === null ? id : `${id} (${name})`);
