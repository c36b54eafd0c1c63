import type { ObjectFacts } from '../object-source.ts';
import { changedError, protocolError, type Request } from './failures.ts';

/**
 * An ETag without its quotes. It goes into a header of the next request, so anything but the
 * characters of RFC 9110 8.8.3 is refused.
 */
export function readEtag(request: Request, header: string | undefined): string {
  const etag = header === undefined ? '' : header.replace(/^"(.*)"$/, '$1');
  if (!/^[\x21\x23-\x7e]{1,256}$/.test(etag)) throw protocolError(request, 'the answer has no usable ETag');
  return etag;
}

/** Fails with `object_changed` when the answer is about another version than the one that was asked for. */
export function compareEtag(request: Request, wanted: string | null, answered: string): void {
  if (wanted !== null && wanted !== answered)
    throw changedError(request, `the object has the ETag ${answered}, ${wanted} was asked for`);
}

export function readSize(request: Request, value: number | undefined): number {
  if (value === undefined || !Number.isSafeInteger(value) || value < 0)
    throw protocolError(request, 'the answer has no usable size');
  return value;
}

/** Start and total of `Content-Range: bytes a-b/n`; the rest of the object from `start` was asked for, so b is n-1. */
export function readContentRange(request: Request, header: string | undefined, start: number): number {
  const match = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16})$/.exec(header ?? '');
  const [from, to, total] = (match ?? []).slice(1).map(Number);
  if (from === undefined || to === undefined || total === undefined)
    throw protocolError(request, `the answer has no usable Content-Range: ${header ?? 'none'}`);
  if (from !== start || to !== total - 1)
    throw protocolError(request, `asked for the bytes from ${start} on, got ${header}`);
  return readSize(request, total);
}

/** Fails unless the document begins with this element, behind declaration and comments, and ends with it. */
export function checkRoot(request: Request, root: string, body: Buffer): void {
  const begin = /^\ufeff?\s*(?:<\?[^>]*\?>\s*|<!--[\s\S]*?-->\s*)*<([\w:.-]+)/.exec(
    body.toString('utf8', 0, 4096),
  );
  const name = begin?.[1];
  if (name !== root && !name?.endsWith(`:${root}`))
    throw protocolError(
      request,
      `the answer is no ${root} but ${name === undefined ? 'no XML' : `<${name}>`}`,
    );
  const tail = body.toString('utf8', Math.max(0, body.length - 256)).trimEnd();
  if (!tail.endsWith(`</${name}>`) && !tail.endsWith('/>'))
    throw protocolError(request, `the ${root} of the answer has no end`);
}

/** One page of a listing, as the S3 client gives it. */
export interface ListingPage {
  EncodingType?: string | undefined;
  IsTruncated?: boolean | undefined;
  NextContinuationToken?: string | undefined;
  CommonPrefixes?: readonly unknown[] | undefined;
  Contents?:
    | readonly { Key?: string | undefined; ETag?: string | undefined; Size?: number | undefined }[]
    | undefined;
}

/** The objects directly under `prefix` on this page. Servers ignore `delimiter`, so deeper ones are dropped here too. */
export function readPage(request: Request, prefix: string, page: ListingPage): ObjectFacts[] {
  const facts: ObjectFacts[] = [];
  for (const entry of page.Contents ?? []) {
    const key = decodeKey(request, entry.Key, page.EncodingType === 'url');
    if (!key.startsWith(prefix)) throw protocolError(request, `the listing names a key outside ${prefix}`);
    const name = key.slice(prefix.length);
    if (name === '' || name.includes('/')) continue;
    facts.push({ key, etag: readEtag(request, entry.ETag), size: readSize(request, entry.Size) });
  }
  return facts;
}

/** S3 encodes keys of a listing as forms do: a space is `+` (seen in the answers of AWS, decoded so by botocore). */
function decodeKey(request: Request, text: string | undefined, encoded: boolean): string {
  if (text === undefined || text === '')
    throw protocolError(request, 'the listing has an entry without a key');
  let key = text;
  try {
    if (encoded) key = decodeURIComponent(text.replaceAll('+', ' '));
  } catch (error) {
    throw protocolError(request, 'the listing has a key in a broken encoding', error);
  }
  if (Buffer.byteLength(key) > 1024) throw protocolError(request, 'the listing has a key above 1024 bytes');
  return key;
}
