import type { Effect } from '#core/effect';
import type { Images } from '#db/images/index';

export interface ImageReleaseDeps {
  images: Pick<Images, 'release'>;
}

/**
 * **Does**: drops the row of an image that will not be complete.
 * **Safe to repeat because**: a row that is gone is gone; a complete image is left alone.
 * **If killed**: the row may be left; the next sweep drops it.
 * **Fails with**: `database_failed`.
 */
export const imageRelease =
  ({ images }: ImageReleaseDeps): Effect<{ id: string }, null> =>
  async ({ input: { id }, signal }) => {
    signal.throwIfAborted();
    images.release(id);
    return null;
  };
