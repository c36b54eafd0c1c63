import { createHash } from 'node:crypto';
import type { LayerRef, Source } from '#core/image';

/** What makes two sources the same place: how they are asked (anonymously, insecurely) does not. */
export type SourceIdentity = Pick<Source, 'endpoint' | 'region' | 'bucket' | 'prefix'>;

/** The identity with its fields in one order, because the database compares it as text. */
export const identityOf = ({ endpoint, region, bucket, prefix }: SourceIdentity): SourceIdentity => ({
  endpoint,
  region,
  bucket,
  prefix,
});

/** Where a bucket is, as text: AWS has one name for several places, told apart by their region. */
export const endpointOf = ({ endpoint, region }: SourceIdentity): string => endpoint ?? `aws:${region}`;

/** One object in a bucket, at one version. */
export type ObjectAt = Pick<LayerRef, 'key' | 'etag' | 'size'>;

/**
 * The name of the download of an object at this version: the same for every run that needs it, so that
 * a later run goes on where an earlier one was given up.
 */
export const downloadIdOf = (source: SourceIdentity, { key, etag, size }: ObjectAt): string =>
  createHash('sha256')
    .update(JSON.stringify([endpointOf(source), source.bucket, key, etag, size]))
    .digest('hex');
