import type { Effect } from '#core/effect';
import type { Images } from '#db/images/index';
import type { ImageResult, RegisteredImage } from '#machines/image';

export interface ImageRegisterDeps {
  images: Pick<Images, 'register'>;
  now: () => number;
}

/**
 * **Does**: links layers and base to the image and says that it is complete, in one transaction. Where
 * that very image is there already, that one stays, and its id is the result.
 * **Safe to repeat because**: the second time it finds the image complete, and writes the same links.
 * **If killed**: the transaction is there whole, or not at all.
 * **Fails with**: `volume_missing`, `layer_missing` (the base, a layer or the config was removed meanwhile),
 * `database_failed`.
 */
export const imageRegister =
  ({ images, now }: ImageRegisterDeps): Effect<ImageResult, RegisteredImage> =>
  async ({ input: { id, family, source, chain, layers, manifest, base }, signal, effectId }) => {
    signal.throwIfAborted();
    return images.register(
      {
        id,
        family,
        source,
        chain,
        layers,
        manifest: manifest ?? null,
        driver: base.driver,
        effect: effectId,
      },
      now(),
    );
  };
