import { createHash, type Hash } from 'node:crypto';
import { type ChecksumName, createChecksum, isChecksumName } from './checksums.ts';
import { awsChunks } from './chunked.ts';
import { S3Error } from './errors.ts';
import type { S3Request } from './request.ts';
import type { Signed } from './sigv4.ts';

/** What a body turned out to be, once all that its headers and trailers claim of it has held. */
export interface BodyFacts {
  size: number;
  md5: Buffer;
  /** The checksum that the client sent, in base64. */
  checksum: { name: ChecksumName; value: string } | null;
}

export interface ReceiveOptions {
  request: S3Request;
  /** Null for an anonymous request. */
  signed: Signed | null;
  bytesMax: number;
  /** A checksum to compute also when the client sends none. */
  compute?: ChecksumName | null;
  /** What x-amz-checksum-* headers speak of; default the body. */
  checksumIs?: 'the body' | 'the object';
}

/**
 * Reads the body of a request into `sink`, aws-chunked or plain, and compares it with
 * x-amz-content-sha256, Content-Length, Content-MD5 and x-amz-checksum-*, in headers or trailers.
 * Throws before it returns if anything differs: nothing of `sink` may be kept then.
 */
export async function receiveBody(
  { request, signed, bytesMax, compute = null, checksumIs = 'the body' }: ReceiveOptions,
  sink: (chunk: Buffer) => Promise<void>,
): Promise<BodyFacts> {
  const expected = expectedSize(request, bytesMax);
  const contentHash = request.header('x-amz-content-sha256') ?? 'UNSIGNED-PAYLOAD';
  const streaming = contentHash.startsWith('STREAMING-');
  const trailers = new Map<string, string>();
  const chunks = streaming
    ? awsChunks(request.message, { signed, signedChunks: contentHash.includes('HMAC'), trailers })
    : (request.message as AsyncIterable<Buffer>);

  const sent = checksumIs === 'the body' ? namedChecksum(request) : null;
  const named = sent ?? compute;
  const checksum = named === null ? null : createChecksum(named);
  const md5 = createHash('md5');
  const sha256: Hash | null = /^[0-9a-f]{64}$/.test(contentHash) ? createHash('sha256') : null;
  let size = 0;
  request.beforeBody();
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > expected) throw new S3Error('IncompleteBody', 'The body is longer than its declared length.');
    md5.update(chunk);
    sha256?.update(chunk);
    checksum?.update(chunk);
    await sink(chunk);
  }
  if (size !== expected)
    throw new S3Error(
      'IncompleteBody',
      'You did not provide the number of bytes specified by the Content-Length HTTP header',
    );
  if (sha256 !== null && sha256.digest('hex') !== contentHash)
    throw new S3Error(
      'XAmzContentSHA256Mismatch',
      "The provided 'x-amz-content-sha256' header does not match what was computed.",
    );
  const facts = { size, md5: md5.digest() };
  checkMd5(request, facts.md5);
  if (named === null || checksum === null) return { ...facts, checksum: null };
  const value = checksum.digest();
  const claimed = request.header(`x-amz-checksum-${named}`) ?? trailers.get(`x-amz-checksum-${named}`);
  if (claimed === undefined && sent !== null)
    throw new S3Error(
      'InvalidRequest',
      `The trailer x-amz-checksum-${named} was announced and did not come.`,
    );
  if (claimed !== undefined && claimed !== value)
    throw new S3Error(
      'BadDigest',
      `The ${named.toUpperCase()} you specified did not match the calculated checksum.`,
    );
  return { ...facts, checksum: { name: named, value } };
}

function expectedSize(request: S3Request, bytesMax: number): number {
  const text = request.header('x-amz-decoded-content-length') ?? request.header('content-length');
  if (text === undefined)
    throw new S3Error('MissingContentLength', 'You must provide the Content-Length HTTP header.');
  if (!/^\d{1,16}$/.test(text)) throw new S3Error('InvalidArgument', 'The Content-Length is not a number.');
  if (Number(text) > bytesMax)
    throw new S3Error('EntityTooLarge', 'Your proposed upload exceeds the maximum allowed size', {
      extra: [['MaxSizeAllowed', bytesMax]],
    });
  return Number(text);
}

/** The checksum that comes with the body: in a header, or announced as a trailer. One at most, as at S3. */
function namedChecksum(request: S3Request): ChecksumName | null {
  const inHeaders = Object.keys(request.message.headers).filter((name) => name.startsWith('x-amz-checksum-'));
  const announced = (request.header('x-amz-trailer') ?? '').split(',').map((name) => name.trim());
  const names = [...inHeaders, ...announced.filter((name) => name.startsWith('x-amz-checksum-'))]
    .map((name) => name.slice('x-amz-checksum-'.length))
    .filter((name) => name !== 'algorithm' && name !== 'type' && name !== 'mode');
  if (names.length > 1) throw new S3Error('InvalidRequest', 'Expecting a single x-amz-checksum- header');
  const [name] = names;
  if (name === undefined) return null;
  if (!isChecksumName(name)) throw new S3Error('NotImplemented', `The checksum ${name} is not implemented.`);
  return name;
}

function checkMd5(request: S3Request, md5: Buffer): void {
  const claimed = request.header('content-md5');
  if (claimed === undefined) return;
  const bytes = Buffer.from(claimed, 'base64');
  if (bytes.length !== 16) throw new S3Error('InvalidDigest', 'The Content-MD5 you specified is not valid.');
  if (!bytes.equals(md5))
    throw new S3Error('BadDigest', 'The Content-MD5 you specified did not match what we received.');
}

/** A small body as text, checked like any other. */
export async function receiveText(
  options: Omit<ReceiveOptions, 'compute'>,
): Promise<{ text: string; facts: BodyFacts }> {
  const chunks: Buffer[] = [];
  const facts = await receiveBody(options, async (chunk) => void chunks.push(chunk));
  return { text: Buffer.concat(chunks).toString('utf8'), facts };
}
