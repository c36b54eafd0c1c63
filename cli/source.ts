import { unrecoverable } from '#core/errors';
import type { S3Source } from '#core/source';
import type { Settings } from '#infra/config';
import { checkSource } from '#infra/s3/endpoint';

/** The public bucket that the project's sample families come from: no keys needed. */
const seed: S3Source = {
  endpoint: null,
  region: 'us-east-1',
  bucket: 'flyio-platform-hiring-challenge',
  prefix: 'images/',
  anonymous: true,
  insecure: false,
};

export type SourceSettings = Pick<Settings, 'source' | 'endpoint' | 'region' | 'anonymous' | 'insecure'>;

/**
 * The source that the settings name, in one form for each way to write it: it is part of a run's
 * identity. Fails with `source_missing`, `source_invalid`, `source_insecure`.
 */
export function sourceOf({ source, endpoint, region, anonymous, insecure }: SourceSettings): S3Source {
  if (source === null)
    throw unrecoverable('source_missing', 'no source was given', {
      op: 'pull',
      subject: '--source',
      hint: 'give --source s3://bucket/prefix, set FLYD_SOURCE, or put "source" into the --config file; --source seed is a public sample bucket',
    });
  if (source === 'seed') {
    if (endpoint === null) return seed;
    throw unrecoverable('source_invalid', 'the seed bucket has its own endpoint', {
      op: 'pull',
      subject: endpoint,
      hint: `give --source s3://${seed.bucket}/${seed.prefix} with --endpoint`,
    });
  }
  const { bucket, prefix } = /^s3:\/\/(?<bucket>[^/]+)(?:\/(?<prefix>.*))?$/.exec(source)?.groups ?? {};
  if (bucket === undefined)
    throw unrecoverable('source_invalid', 'a source is s3://bucket/prefix, or seed', {
      op: 'pull',
      subject: source,
    });
  const found: S3Source = { endpoint, region, bucket, prefix: asPrefix(prefix ?? ''), anonymous, insecure };
  checkSource(found);
  // `http://host:80/` and `http://HOST` are one endpoint.
  return endpoint === null ? found : { ...found, endpoint: new URL(endpoint).origin };
}

const asPrefix = (text: string): string => (text === '' || text.endsWith('/') ? text : `${text}/`);
