import { type FlydError, unrecoverable } from './errors.ts';
import { type Digest, namePattern } from './ids.ts';
import type { LayerRef } from './image.ts';
import type { Limits } from './limits.ts';
import type { S3Source } from './source.ts';

/** An object that a listing names. */
export interface ListedObject {
  key: string;
  etag: string;
  /** Bytes. */
  size: number;
}

/** A layer that a manifest names. `key` is the whole key, whatever form the manifest used. */
export interface ManifestLayer {
  key: string;
  /** Bytes. */
  size: number;
  digest: Digest | null;
}

export interface Family {
  /** What is there, in the order in which the layers are applied. */
  layers: LayerRef[];
  /** What the manifest names and the listing does not have (yet). */
  absent: ManifestLayer[];
  /** Keys of layers that are there and that the manifest does not name; empty without a manifest. */
  unlisted: string[];
}

export const manifestName = 'manifest.json';

/** The prefix that all objects of a family share: `<source prefix><family>/`. `usage` for a name that is none. */
export function familyPrefix(source: S3Source, family: string): string {
  if (!namePattern.test(family))
    throw unrecoverable('usage', 'a family is named in lower case: letters, digits, dot, dash, underscore', {
      subject: family,
    });
  return `${source.prefix}${family}/`;
}

/** The order of layers: by the bytes of their keys, as S3 lists them. UTF-16, which `<` compares, differs from U+E000 on. */
export const byKeyBytes = (a: { key: string }, b: { key: string }): number =>
  Buffer.compare(Buffer.from(a.key), Buffer.from(b.key));

/**
 * The layers of a family: the objects directly under its prefix with a size above 0, without
 * `manifest.json`, in the order of their keys. A manifest adds digests, says which further layers
 * are to come, and changes no order. Fails with `family_not_found` when there is neither a layer
 * nor one to come, `size_mismatch` when listing and manifest contradict each other, `limit_exceeded`.
 */
export function resolveFamily(
  prefix: string,
  listing: readonly ListedObject[],
  manifest: readonly ManifestLayer[] | null,
  limits: Limits,
): Family {
  const objects = listing.filter((object) => isLayer(prefix, object)).sort(byKeyBytes);
  const named = new Map((manifest ?? []).map((layer) => [layer.key, layer]));
  const there = new Set(objects.map((object) => object.key));
  const family: Family = {
    layers: objects.map((object) => layerOf(object, named.get(object.key))),
    absent: [...named.values()].filter((layer) => !there.has(layer.key)).sort(byKeyBytes),
    unlisted: manifest === null ? [] : objects.map((object) => object.key).filter((key) => !named.has(key)),
  };
  const count = family.layers.length + family.absent.length;
  if (count === 0)
    throw unrecoverable('family_not_found', 'there are no layers under this prefix', {
      subject: prefix,
      hint: 'check the family name, the bucket and the prefix of the source',
    });
  if (count > limits.layersMax) throw tooMany(prefix, count, limits.layersMax);
  return family;
}

function isLayer(prefix: string, { key, size }: ListedObject): boolean {
  const name = key.startsWith(prefix) ? key.slice(prefix.length) : '';
  return size > 0 && name !== '' && name !== manifestName && !name.includes('/');
}

function layerOf({ key, etag, size }: ListedObject, named: ManifestLayer | undefined): LayerRef {
  if (named !== undefined && named.size !== size)
    throw unrecoverable('size_mismatch', `the object has ${size} bytes, its manifest says ${named.size}`, {
      subject: key,
      hint: 'the family is being replaced, or its manifest is stale',
    });
  return { key, etag, size, digest: named?.digest ?? null };
}

const tooMany = (prefix: string, count: number, max: number): FlydError =>
  unrecoverable('limit_exceeded', `the family has ${count} layers, ${max} are allowed`, {
    subject: prefix,
    hint: 'raise the limit layersMax if you trust the source',
  });
