import { unrecoverable } from '#core/errors';
import type { RegistrySource } from '#core/source';
import { isLoopback } from '../s3/endpoint.ts';

/** Whether the registry itself may speak plain HTTP: then so may what it leads to. */
const mayBePlain = ({ endpoint, insecure }: RegistrySource): boolean =>
  insecure || isLoopback(new URL(endpoint).hostname);

/**
 * Refuses an address that an answer of the registry leads to (a redirect, a realm, a Link): anything but
 * https, unless the registry is on this machine or plain HTTP was asked for; and credentials in a URL.
 * Fails with `source_insecure`, `source_refused`.
 */
export function checkTarget(source: RegistrySource, url: URL, what: string): void {
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && mayBePlain(source)))
    throw unrecoverable('source_insecure', `the registry leads to a ${what} without https: ${url.origin}`, {
      subject: source.endpoint,
      hint: 'whoever is between could change what comes from there; --insecure allows it',
    });
  if (url.username !== '' || url.password !== '')
    throw unrecoverable('source_refused', `the registry leads to a ${what} with credentials in its address`, {
      subject: url.host,
    });
}

/** Whether the operator named this host: it is the registry's own, or allowed by `host` or `host:port`. */
export const isNamed = ({ endpoint }: RegistrySource, url: URL, allowHosts: readonly string[]): boolean =>
  url.origin === new URL(endpoint).origin ||
  allowHosts.some((host) => host === url.host || host === url.hostname);
