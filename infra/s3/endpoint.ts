import { unrecoverable } from '#core/errors';
import type { S3Source } from '#core/source';

const bucketPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/;
const regionPattern = /^[a-z0-9][a-z0-9-]{0,62}$/;

/**
 * Refuses a source that must not be contacted: `source_invalid` for an endpoint, bucket or region
 * that is none, `source_insecure` for plain HTTP to another machine that was not asked for.
 */
export function checkSource(source: S3Source): void {
  if (!bucketPattern.test(source.bucket))
    throw unrecoverable('source_invalid', 'this is no name of a bucket', { subject: source.bucket });
  if (!regionPattern.test(source.region))
    throw unrecoverable('source_invalid', 'this is no name of a region', { subject: source.region });
  if (source.endpoint !== null) checkEndpoint(source.endpoint, source.insecure);
}

function checkEndpoint(endpoint: string, insecure: boolean): void {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : null;
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    throw unrecoverable('source_invalid', 'an endpoint is https://host[:port]', { subject: endpoint });
  if (url.username !== '' || url.password !== '')
    throw unrecoverable('source_invalid', 'an endpoint holds no credentials', {
      subject: url.host,
      hint: 'give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    });
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '')
    throw unrecoverable('source_invalid', 'an endpoint has no path: it is https://host[:port]', {
      subject: endpoint,
    });
  if (url.protocol === 'http:' && !insecure && !isLoopback(url.hostname))
    throw unrecoverable(
      'source_insecure',
      'plain HTTP to another machine: anyone between can change the layers',
      {
        subject: endpoint,
        hint: 'use https, or --insecure if that is what you want',
      },
    );
}

/** Whether a host name of a URL can only mean this machine (RFC 1122 3.2.1.3, RFC 4291 2.5.3, RFC 6761 6.3). */
export const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
