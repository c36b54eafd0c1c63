import type { Effect } from '#core/effect';
import { unrecoverable } from '#core/errors';
import type { Images } from '#db/images/index';

export interface ImageDropDeps {
  images: Pick<Images, 'drop'>;
}

/**
 * **Does**: drops a complete image and its links to layers and base; what only it needed is the
 * sweep's to remove.
 * **Safe to repeat because**: a row that is gone is gone.
 * **If killed**: the transaction is there whole, or not at all.
 * **Fails with**: `image_in_use` (somebody activated it meanwhile), `database_failed`.
 */
export const imageDrop =
  ({ images }: ImageDropDeps): Effect<{ image: string }, null> =>
  async ({ input: { image }, signal }) => {
    signal.throwIfAborted();
    const using = images.drop(image);
    if (using.length > 0)
      throw unrecoverable('image_in_use', `the image has live activations: ${using.join(', ')}`, {
        op: 'image.drop',
        subject: image,
        hint: 'flyd deactivate each of them, or use --force',
        facts: { activations: using.join(' ') },
      });
    return null;
  };
