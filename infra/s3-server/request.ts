import type { IncomingMessage } from 'node:http';
import { S3Error } from './errors.ts';

/** A request, taken apart. */
export interface S3Request {
  message: IncomingMessage;
  method: string;
  /** The path as it was sent, percent-encoded. */
  rawPath: string;
  /** Empty for the list of buckets. */
  bucket: string;
  /** Empty for the bucket itself. */
  key: string;
  query: Map<string, string>;
  header(name: string): string | undefined;
  /** Tells a client that waits with its body (`Expect: 100-continue`) to send it. */
  beforeBody(): void;
}

/** Takes a request apart: path style, `/bucket/key?query`. `InvalidURI` when it is not UTF-8 in percent signs. */
export function readRequest(message: IncomingMessage, beforeBody: () => void): S3Request {
  const url = message.url ?? '/';
  const mark = url.indexOf('?');
  const rawPath = mark === -1 ? url : url.slice(0, mark);
  if (!rawPath.startsWith('/')) throw new S3Error('InvalidURI', 'The path does not begin with a slash.');
  const path = decode(rawPath.slice(1));
  const slash = path.indexOf('/');
  return {
    message,
    method: message.method ?? 'GET',
    rawPath,
    bucket: slash === -1 ? path : path.slice(0, slash),
    key: slash === -1 ? '' : path.slice(slash + 1),
    beforeBody,
    query: readQuery(mark === -1 ? '' : url.slice(mark + 1)),
    header(name) {
      const value = message.headers[name];
      return Array.isArray(value) ? value.join(',') : value;
    },
  };
}

/** The first value of each name counts. A plus sign is a plus sign: SDKs write a space as %20. */
function readQuery(text: string): Map<string, string> {
  const query = new Map<string, string>();
  for (const pair of text.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decode(equals === -1 ? pair : pair.slice(0, equals));
    if (!query.has(name)) query.set(name, equals === -1 ? '' : decode(pair.slice(equals + 1)));
  }
  return query;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new S3Error('InvalidURI', "Couldn't parse the specified URI.");
  }
}

/** A query parameter that is a whole number in a range, or its default. `InvalidArgument` otherwise. */
export function numberIn(
  request: S3Request,
  name: string,
  fallback: number,
  min: number,
  max: number,
): number {
  const text = request.query.get(name);
  if (text === undefined || text === '') return fallback;
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max))
    throw new S3Error('InvalidArgument', `Provided ${name} not an integer or within integer range`);
  return value;
}
