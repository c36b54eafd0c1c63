import { createHash } from 'node:crypto';
import type { LayerRef } from '#core/image';
import { type LayoutSource, placeOf, type RegistrySource, type S3Source } from '#core/source';

/** What makes two sources the same place: how they are asked (anonymously, insecurely) does not. */
export type SourceIdentity =
  | Pick<S3Source, 'kind' | 'endpoint' | 'region' | 'bucket' | 'prefix'>
  | LayoutSource
  | Pick<RegistrySource, 'kind' | 'endpoint' | 'repository'>;

/** The identity with its fields in one order, because the database compares it as text. */
export function identityOf(source: SourceIdentity): SourceIdentity {
  switch (source.kind) {
    case 'layout':
      return { kind: 'layout', path: source.path };
    case 'registry':
      return { kind: 'registry', endpoint: source.endpoint, repository: source.repository };
    default: {
      const { endpoint, region, bucket, prefix } = source;
      return { endpoint, region, bucket, prefix };
    }
  }
}

/** One object at a source, at one version. */
export type ObjectAt = Pick<LayerRef, 'key' | 'etag' | 'size'>;

/**
 * The name of the download of an object at this version: the same for every run that needs it, so that
 * a later run goes on where an earlier one was given up.
 */
export function downloadIdOf(source: SourceIdentity, { key, etag, size }: ObjectAt): string {
  const { endpoint, bucket } = placeOf(source);
  return createHash('sha256')
    .update(JSON.stringify([endpoint, bucket, key, etag, size]))
    .digest('hex');
}
