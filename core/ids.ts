declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** `sha256:` and 64 hex digits: of the bytes as stored. */
export type Digest = Branded<string, 'Digest'>;
/** `sha256:` and 64 hex digits: of the uncompressed layer (OCI image-spec, config.md, "Layer DiffID"). */
export type DiffId = Branded<string, 'DiffId'>;
/** `sha256:` and 64 hex digits: over the diffIDs so far (OCI image-spec, config.md, "Layer ChainID"). */
export type ChainId = Branded<string, 'ChainId'>;

const digestPattern = /^sha256:[0-9a-f]{64}$/;

/** The text as a digest, or null: never join an unchecked digest into a path (CVE-2024-3727). */
export function parseDigest(text: string): Digest | null {
  return digestPattern.test(text) ? (text as Digest) : null;
}

/** A hash's hex digits as a digest; throws on anything else, because only our own hashes come here. */
export function digestOfHex(hex: string): Digest {
  const digest = parseDigest(`sha256:${hex}`);
  if (digest === null) throw new TypeError(`not a sha256 in hex: ${hex}`);
  return digest;
}

/** The 64 hex digits of a digest, diffID or chain ID: a safe file name. */
export const hexOf = (digest: Digest | DiffId | ChainId): string => digest.slice('sha256:'.length);

/** Names that reach a path or a device: families, activation names, pool names. */
export const namePattern = /^[a-z0-9][a-z0-9._-]{0,62}$/;
