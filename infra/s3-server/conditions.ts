import { S3Error } from './errors.ts';
import type { S3Request } from './request.ts';

/** What conditions are held against. `etag` without quotes. */
export interface ObjectVersion {
  etag: string;
  modifiedMs: number;
}

/**
 * The conditions of a GET or HEAD, in the order of RFC 9110 13.2.2: If-Match before
 * If-Unmodified-Since, If-None-Match before If-Modified-Since. Throws PreconditionFailed or NotModified.
 */
export function checkReadConditions(request: S3Request, version: ObjectVersion): void {
  const ifMatch = request.header('if-match');
  const unmodifiedSince = dateOf(request.header('if-unmodified-since'));
  if (ifMatch !== undefined ? !etagIn(ifMatch, version.etag) : isNewer(version, unmodifiedSince))
    throw new S3Error('PreconditionFailed', 'At least one of the pre-conditions you specified did not hold', {
      extra: [['Condition', ifMatch !== undefined ? 'If-Match' : 'If-Unmodified-Since']],
    });
  const ifNoneMatch = request.header('if-none-match');
  const modifiedSince = dateOf(request.header('if-modified-since'));
  const notModified =
    ifNoneMatch !== undefined
      ? etagIn(ifNoneMatch, version.etag)
      : modifiedSince !== null && !isNewer(version, modifiedSince);
  if (notModified)
    throw new S3Error('NotModified', 'Not Modified', { headers: { ETag: `"${version.etag}"` } });
}

/**
 * The conditions of a write: `If-None-Match: *` only creates, `If-Match` only replaces that version
 * (Amazon S3 user guide, "Conditional writes"). `current` is null when there is no object.
 */
export function checkWriteConditions(request: S3Request, current: ObjectVersion | null): void {
  const ifNoneMatch = request.header('if-none-match');
  const ifMatch = request.header('if-match');
  if (ifNoneMatch !== undefined && ifNoneMatch.trim() !== '*')
    throw new S3Error('NotImplemented', 'If-None-Match takes only * in a write');
  if (ifNoneMatch !== undefined && current !== null) throw failed('If-None-Match');
  if (ifMatch === undefined) return;
  if (current === null) throw new S3Error('NoSuchKey', 'The specified key does not exist.');
  if (!etagIn(ifMatch, current.etag)) throw failed('If-Match');
}

const failed = (condition: string): S3Error =>
  new S3Error('PreconditionFailed', 'At least one of the pre-conditions you specified did not hold', {
    extra: [['Condition', condition]],
  });

/** Whether `If-Range` lets the range count: its ETag or date is still the object's (RFC 9110 13.1.5). */
export function rangeStillHolds(request: S3Request, version: ObjectVersion): boolean {
  const ifRange = request.header('if-range');
  if (ifRange === undefined) return true;
  const since = dateOf(ifRange);
  return since === null ? etagIn(ifRange, version.etag) : !isNewer(version, since);
}

const etagIn = (header: string, etag: string): boolean =>
  header.split(',').some((part) => {
    const one = part.trim();
    return one === '*' || one === etag || one === `"${etag}"`;
  });

/** Seconds are all that HTTP dates have. */
const isNewer = (version: ObjectVersion, sinceMs: number | null): boolean =>
  sinceMs !== null && Math.floor(version.modifiedMs / 1000) * 1000 > sinceMs;

function dateOf(header: string | undefined): number | null {
  const ms = header === undefined || !/^[A-Z][a-z]{2}/.test(header) ? Number.NaN : Date.parse(header);
  return Number.isNaN(ms) ? null : ms;
}

/** Bytes `start` to `end`, both included. */
export interface ByteRange {
  start: number;
  end: number;
}

/**
 * The range that a `Range` header asks for, or null for the whole object: also for several ranges
 * and for what is no range of bytes (RFC 9110 14.2 lets a server ignore those). Throws InvalidRange.
 */
export function readRange(header: string | undefined, size: number): ByteRange | null {
  const match = /^bytes=\s*(\d{0,16})-(\d{0,16})\s*$/.exec(header ?? '');
  if (match === null) return null;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return null;
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (first !== '' && last !== '' && Number(last) < start) return null;
  if (start >= size || (first === '' && Number(last) === 0))
    throw new S3Error('InvalidRange', 'The requested range is not satisfiable', {
      headers: { 'Content-Range': `bytes */${size}` },
      extra: [
        ['RangeRequested', header ?? ''],
        ['ActualObjectSize', size],
      ],
    });
  return { start, end };
}
