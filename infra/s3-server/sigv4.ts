import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { S3Error } from './errors.ts';
import type { S3Request } from './request.ts';

export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
}

/** A request whose signature was good: what the signatures of its chunks go on from. */
export interface Signed {
  signingKey: Buffer;
  /** `20260101/us-east-1/s3/aws4_request` */
  scope: string;
  /** `20260101T000000Z` */
  date: string;
  signature: string;
}

const skewMsMax = 15 * 60 * 1000;

/**
 * Checks the `Authorization` header by AWS Signature Version 4 ("Authenticating Requests: Using the
 * Authorization Header"): canonical request, signed headers, scope, clock. The payload is only
 * covered by its hash in a header; whoever reads the body compares.
 */
export function verifySignature(request: S3Request, credentials: Credentials, nowMs: number): Signed {
  const header = request.header('authorization');
  if (header === undefined) throw new S3Error('AccessDenied', 'Access Denied');
  const { accessKeyId, scope, signedHeaders, signature } = parseAuthorization(header);
  if (accessKeyId !== credentials.accessKeyId)
    throw new S3Error('InvalidAccessKeyId', 'The access key Id you provided does not exist in our records.');
  const date = checkDate(request, scope, nowMs);
  checkSignedHeaders(request, signedHeaders);

  const payloadHash = request.header('x-amz-content-sha256') ?? '';
  if (payloadHash === '')
    throw new S3Error('InvalidRequest', 'Missing required header for this request: x-amz-content-sha256');
  const canonical = canonicalRequest(request, signedHeaders, payloadHash);
  const toSign = ['AWS4-HMAC-SHA256', date, scope, sha256Hex(canonical)].join('\n');
  const signingKey = signingKeyOf(credentials.secretAccessKey, scope);
  if (!sameSignature(signature, hmac(signingKey, toSign).toString('hex')))
    throw new S3Error(
      'SignatureDoesNotMatch',
      'The request signature we calculated does not match the signature you provided. Check your key and signing method.',
    );
  return { signingKey, scope, date, signature };
}

function parseAuthorization(header: string) {
  const malformed = (what: string) =>
    new S3Error('AuthorizationHeaderMalformed', `The authorization header is malformed; ${what}.`);
  if (!header.startsWith('AWS4-HMAC-SHA256 ')) throw malformed('only AWS4-HMAC-SHA256 is supported');
  const fields = new Map<string, string>();
  for (const part of header.slice('AWS4-HMAC-SHA256 '.length).split(',')) {
    const equals = part.indexOf('=');
    if (equals !== -1) fields.set(part.slice(0, equals).trim(), part.slice(equals + 1).trim());
  }
  const credential = fields.get('Credential')?.split('/') ?? [];
  const [day, region, service, terminator] = credential.slice(-4);
  const signedHeaders = fields.get('SignedHeaders')?.split(';') ?? [];
  const signature = fields.get('Signature') ?? '';
  if (credential.length < 5 || !/^\d{8}$/.test(day ?? '') || region === '')
    throw malformed('the Credential is mal-formed');
  if (service !== 's3' || terminator !== 'aws4_request')
    throw malformed('the service or terminator is wrong');
  if (!/^[0-9a-f]{64}$/.test(signature)) throw malformed('the Signature is mal-formed');
  const accessKeyId = credential.slice(0, -4).join('/');
  return { accessKeyId, scope: credential.slice(-4).join('/'), signedHeaders, signature };
}

function checkDate(request: S3Request, scope: string, nowMs: number): string {
  const date = request.header('x-amz-date') ?? '';
  const match = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/.exec(date);
  if (match === null)
    throw new S3Error('AccessDenied', 'AWS authentication requires a valid Date or x-amz-date header');
  const [, year, month, day, hour, minute, second] = match;
  const atMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (!(Math.abs(atMs - nowMs) <= skewMsMax))
    throw new S3Error(
      'RequestTimeTooSkewed',
      'The difference between the request time and the current time is too large.',
      {
        extra: [
          ['RequestTime', date],
          ['ServerTime', new Date(nowMs).toISOString()],
          ['MaxAllowedSkewMilliseconds', skewMsMax],
        ],
      },
    );
  if (!scope.startsWith(`${date.slice(0, 8)}/`))
    throw new S3Error('SignatureDoesNotMatch', 'Date in Credential scope does not match x-amz-date.');
  return date;
}

/** What is not signed could be anybody's: host and every x-amz-* header must be. */
function checkSignedHeaders(request: S3Request, signedHeaders: readonly string[]): void {
  const required = Object.keys(request.message.headers).filter((name) => name.startsWith('x-amz-'));
  const unsigned = ['host', ...required].filter((name) => !signedHeaders.includes(name));
  if (unsigned.length > 0)
    throw new S3Error('AccessDenied', 'There were headers present in the request which were not signed', {
      extra: [['HeadersNotSigned', unsigned.join(', ')]],
    });
}

function canonicalRequest(request: S3Request, signedHeaders: readonly string[], payloadHash: string): string {
  const headers = signedHeaders.map((name) => `${name}:${headerValues(request, name)}\n`).join('');
  return [
    request.method,
    encodePath(request.rawPath),
    canonicalQuery(request),
    headers,
    signedHeaders.join(';'),
    payloadHash,
  ].join('\n');
}

/** All values of a header in the order sent, each trimmed and with single spaces. */
function headerValues(request: S3Request, name: string): string {
  const values = request.message.headersDistinct[name] ?? [];
  return values.map((value) => value.trim().replace(/ +/g, ' ')).join(',');
}

const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

/** S3 encodes each part of a path once, and merges neither slashes nor dots. */
const encodePath = (rawPath: string): string =>
  rawPath
    .split('/')
    .map((part) => encode(decodeURIComponent(part)))
    .join('/');

const canonicalQuery = (request: S3Request): string =>
  [...request.query]
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');

function signingKeyOf(secret: string, scope: string): Buffer {
  let key: Buffer = Buffer.from(`AWS4${secret}`);
  for (const part of scope.split('/')) key = hmac(key, part);
  return key;
}

/**
 * The signature of one chunk of an aws-chunked body ("Signature Calculations: Transferring Payload in
 * Multiple Chunks"): it covers the one before, so chunks cannot be dropped or moved.
 */
export const chunkSignature = (signed: Signed, previous: string, chunkHash: string): string =>
  hmac(
    signed.signingKey,
    ['AWS4-HMAC-SHA256-PAYLOAD', signed.date, signed.scope, previous, sha256Hex(''), chunkHash].join('\n'),
  ).toString('hex');

/** The same for the trailing headers of a body. */
export const trailerSignature = (signed: Signed, previous: string, trailer: string): string =>
  hmac(
    signed.signingKey,
    ['AWS4-HMAC-SHA256-TRAILER', signed.date, signed.scope, previous, sha256Hex(trailer)].join('\n'),
  ).toString('hex');

export const sameSignature = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const sha256Hex = (text: string): string => createHash('sha256').update(text).digest('hex');
