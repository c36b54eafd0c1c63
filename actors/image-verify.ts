import { createHash } from 'node:crypto';
import type { Effect } from '#core/effect';
import { unrecoverable } from '#core/errors';
import { digestOfHex } from '#core/ids';
import { choiceText, sourceText } from '#core/source';
import type { Verdict, Verify } from '#infra/verifier';
import type { VerifyInput } from '#machines/pull';

export interface ImageVerifyDeps {
  /** Null where the operator has no policy: everything is allowed. */
  verify: Verify | null;
}

/**
 * **Does**: asks the operator's verifier whether this image may be pulled, if there is one. It judges what
 * the digests beforehand name; a family without them cannot be judged, so it is refused.
 * **Safe to repeat because**: it only asks; the answer is for this pull.
 * **If killed**: nothing is left; the verifier ends with its caller, or by its time limit.
 * **Fails with**: `image_refused`, `command_missing`, `command_timeout` (recoverable).
 */
export const imageVerify =
  ({ verify }: ImageVerifyDeps): Effect<VerifyInput, null> =>
  async ({ input, signal }) => {
    signal.throwIfAborted();
    if (verify !== null) await verify({ ...judged(input), signal });
    return null;
  };

function judged({ source, family, choice, layers, manifest }: VerifyInput): Omit<Verdict, 'signal'> {
  const place = sourceText(source);
  if (manifest !== null) {
    const { digest, size, mediaType } = manifest;
    const name = source.kind === undefined ? `${place}${family}` : `${place}${choiceText(choice)}`;
    const descriptor = JSON.stringify({ mediaType, digest, size });
    return { name, digest, mediaType: 'application/vnd.oci.descriptor.v1+json', descriptor };
  }
  const name = `${place}${family}`;
  const unknown = layers.find((layer) => layer.digest === null);
  if (unknown !== undefined)
    throw unrecoverable(
      'image_refused',
      'a family can be judged only when its digests are known beforehand',
      {
        op: 'image.verify',
        subject: unknown.key,
        hint: 'put manifest.json with digests beside its layers, or pull with --lock',
      },
    );
  const descriptor = JSON.stringify(layers.map(({ key, size, digest }) => ({ key, size, digest })));
  const digest = digestOfHex(createHash('sha256').update(descriptor).digest('hex'));
  return { name, digest, mediaType: 'application/vnd.flyd.family.layers.v1+json', descriptor };
}
