import { FlydError, pending, recoverable, unrecoverable } from '#core/errors';
import type { S3Source } from '#core/source';
import type { Judge } from '../net/body.ts';
import { connectionFault, missingHint, retryAfterMs, unavailableHint } from '../net/failures.ts';

/** What was being asked, for messages and for the meaning of a 404. */
export interface Request {
  source: S3Source;
  /** An object, or null for a listing. */
  key: string | null;
}

/** An answer that is no success: its status, its headers, the start of its body. */
export interface Refusal {
  status: number;
  headers: Record<string, string | undefined>;
  body: string;
}

/** Where a source is, for people: no secrets are in it. */
export const placeOf = ({ source, key }: Request): string => {
  const object = `s3://${source.bucket}/${key ?? source.prefix}`;
  return source.endpoint === null ? object : `${object} at ${source.endpoint}`;
};

export const protocolError = (request: Request, what: string, cause?: unknown): FlydError =>
  unrecoverable('source_protocol', what, { subject: placeOf(request), hint: protocolHint, cause });

const protocolHint = 'is this an S3 server, or a proxy that answers for it? check --endpoint';

export const changedError = (request: Request, what: string): FlydError =>
  unrecoverable('object_changed', what, {
    subject: placeOf(request),
    hint: 'the family was replaced while it was pulled: pull again',
  });

export const unavailableError = (request: Request, what: string, cause?: unknown): FlydError =>
  recoverable('source_unavailable', what, { subject: placeOf(request), hint: unavailableHint, cause });

/**
 * The meaning of an answer above 299 (Amazon S3 API reference, "Error responses"). Codes are read
 * from the XML where there is any; a HEAD has none, and then the status speaks alone.
 */
export function refusalError(request: Request, refusal: Refusal): FlydError {
  const { status } = refusal;
  const code = codeIn(refusal.body);
  const what = `the source answered ${status}${code === '' ? '' : ` ${code}`}`;
  const pauseMs = retryAfterMs(refusal.headers['retry-after'], Date.now());
  const facts = { status, s3Code: code, ...(pauseMs === null ? {} : { retryAfterMs: pauseMs }) };
  const details = { subject: placeOf(request), facts };
  if (status < 400) return redirectError(request, refusal, what);
  if (code === 'NoSuchBucket')
    return unrecoverable('bucket_missing', 'the bucket does not exist', {
      ...details,
      hint: 'check the name of the bucket, --endpoint and --region',
    });
  if (code === 'NoSuchKey' || (status === 404 && code === '' && request.key !== null))
    return pending('object_missing', 'the object is not there', { ...details, hint: missingHint });
  if (status === 412 || status === 416) return changedError(request, what);
  if (status === 429 || status >= 500 || unavailableCodes.includes(code))
    return recoverable('source_unavailable', what, { ...details, hint: unavailableHint });
  if (code === 'AuthorizationHeaderMalformed') return redirectError(request, refusal, what);
  if (code === 'RequestTimeTooSkewed')
    return unrecoverable('source_denied', what, { ...details, hint: 'set the clock of this machine' });
  if (status === 401 || status === 403 || deniedCodes.includes(code))
    return unrecoverable('source_denied', what, { ...details, hint: deniedHint(request) });
  if (code === 'InvalidBucketName')
    return unrecoverable('source_invalid', what, {
      ...details,
      hint: 'check the name of the bucket',
    });
  return unrecoverable('source_protocol', what, { ...details, hint: protocolHint });
}

const unavailableCodes: readonly string[] = [
  'RequestTimeout',
  'SlowDown',
  'InternalError',
  'ServiceUnavailable',
];
const deniedCodes: readonly string[] = ['ExpiredToken', 'InvalidToken', 'InvalidAccessKeyId', 'AccessDenied'];

const deniedHint = ({ source }: Request): string =>
  source.anonymous
    ? 'the bucket is not public: leave out --anonymous and give credentials as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY'
    : 'check the credentials; S3 also answers so for a missing object when listing is not allowed';

const codeIn = (body: string): string => /<Code>\s*([A-Za-z0-9.]{1,100})\s*<\/Code>/.exec(body)?.[1] ?? '';

/** Redirects are not followed: signatures and layers would go to and come from where the answer says. */
function redirectError(request: Request, { headers, body }: Refusal, what: string): FlydError {
  const named = headers['x-amz-bucket-region'] ?? /<Region>([^<]*)<\/Region>/.exec(body)?.[1] ?? '';
  const region = /^[a-z0-9-]{1,63}$/.test(named) ? named : null;
  if (region !== null && region !== request.source.region)
    return unrecoverable('source_invalid', `the bucket is in the region ${region}`, {
      subject: placeOf(request),
      hint: `use --region ${region}`,
    });
  return protocolError(request, `${what}: redirects are not followed`);
}

/**
 * Anything that the S3 client or the connection threw, as a FlydError. FlydErrors pass; a name that
 * does not exist is no answer of a server but a bug, and thrown on as it is.
 */
export function thrownError(request: Request, error: unknown): FlydError {
  if (error instanceof FlydError) return error;
  if (error instanceof ReferenceError) throw error;
  const { kind, name, what } = connectionFault(error);
  if (name.includes('CredentialsProvider') || name === 'CredentialsError')
    return unrecoverable('source_denied', 'no usable credentials were found', {
      subject: placeOf(request),
      hint: 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use --anonymous for a public bucket',
      cause: error,
    });
  if (kind === 'tls')
    return unrecoverable('source_denied', `the certificate of the source is not trusted: ${what}`, {
      subject: placeOf(request),
      hint: 'set NODE_EXTRA_CA_CERTS to the file of its authority',
      cause: error,
    });
  if (kind === 'connection') return unavailableError(request, `no answer from the source: ${what}`, error);
  return protocolError(request, `the answer makes no sense: ${what}`, error);
}

/** The judge of the bodies of answers to this request. */
export const judgeOf = (request: Request): Judge => ({
  unavailable: (what) => unavailableError(request, what),
  protocol: (what) => protocolError(request, what),
  thrown: (error) => thrownError(request, error),
});
