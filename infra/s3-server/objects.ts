import { receiveBody } from './body.ts';
import { type ChecksumName, checksumNames } from './checksums.ts';
import { checkReadConditions, checkWriteConditions, rangeStillHolds, readRange } from './conditions.ts';
import { S3Error } from './errors.ts';
import type { Reply } from './reply.ts';
import type { S3Request } from './request.ts';
import type { Signed } from './sigv4.ts';
import { checkNewKey, dropTemp, type FoundObject, type ObjectMeta, type Store } from './store.ts';

/** What a handler works with. */
export interface Context {
  store: Store;
  request: S3Request;
  /** Null for an anonymous request. */
  signed: Signed | null;
  /** Bytes of one part but the last, at least (S3: 5 MiB). */
  partBytesMin: number;
}

/** "PUT Object": 5 GiB in one piece. */
export const putBytesMax = 5 * 1024 ** 3;

/** GetObject and HeadObject. */
export async function getObject({ store, request }: Context): Promise<Reply> {
  const found = await store.find(request.bucket, request.key);
  if (found === null)
    throw new S3Error('NoSuchKey', 'The specified key does not exist.', { extra: [['Key', request.key]] });
  let kept = false;
  try {
    checkReadConditions(request, found.version);
    const range = rangeStillHolds(request, found.version)
      ? readRange(request.header('range'), found.size)
      : null;
    const headers: Record<string, string | number> = objectHeaders(request, found, range === null);
    const { start, end } = range ?? { start: 0, end: found.size - 1 };
    headers['Content-Length'] = end - start + 1;
    if (range !== null) headers['Content-Range'] = `bytes ${start}-${end}/${found.size}`;
    const status = range === null ? 200 : 206;
    if (request.method === 'HEAD' || found.size === 0) return { status, headers };
    kept = true;
    return { status, headers, body: { file: found.file, start, end } };
  } finally {
    if (!kept) await found.file.close();
  }
}

/** The headers of an object; its checksum only with all of it, for clients hold the body against it. */
function objectHeaders(
  request: S3Request,
  { version, meta }: FoundObject,
  whole: boolean,
): Record<string, string> {
  const headers: Record<string, string> = {
    'Accept-Ranges': 'bytes',
    'Content-Type': 'binary/octet-stream',
    ETag: `"${version.etag}"`,
    'Last-Modified': new Date(version.modifiedMs).toUTCString(),
    ...meta?.headers,
  };
  const checksum = meta?.checksum ?? null;
  if (whole && checksum !== null && request.header('x-amz-checksum-mode')?.toUpperCase() === 'ENABLED') {
    headers[`x-amz-checksum-${checksum.name}`] = checksum.value;
    headers['x-amz-checksum-type'] = checksum.type;
  }
  return headers;
}

/** PutObject: seen whole or not at all. */
export async function putObject({ store, request, signed }: Context): Promise<Reply> {
  checkNewKey(request.key);
  if (request.header('x-amz-copy-source') !== undefined)
    throw new S3Error('NotImplemented', 'CopyObject is not implemented.');
  const temp = await store.createTemp();
  try {
    const facts = await receiveBody({ request, signed, bytesMax: putBytesMax }, async (chunk) => {
      await temp.file.appendFile(chunk);
    });
    await temp.file.sync();
    const etag = facts.md5.toString('hex');
    const { checksum } = facts;
    const meta: ObjectMeta = {
      etag,
      headers: keptHeaders(request),
      checksum: checksum === null ? null : { ...checksum, type: 'FULL_OBJECT' },
    };
    await store.publish(temp, request, meta, (now) => checkWriteConditions(request, now));
    const headers: Record<string, string> = { ETag: `"${etag}"` };
    if (checksum !== null) {
      headers[`x-amz-checksum-${checksum.name}`] = checksum.value;
      headers['x-amz-checksum-type'] = 'FULL_OBJECT';
    }
    return { status: 200, headers };
  } finally {
    await dropTemp(temp);
  }
}

/** DeleteObject: also of a key that is not there. */
export async function deleteObject({ store, request }: Context): Promise<Reply> {
  await store.remove(request);
  return { status: 204 };
}

const keptNames: readonly string[] = [
  'cache-control',
  'content-disposition',
  'content-language',
  'content-type',
  'expires',
];
const metaBytesMax = 2 * 1024;

/** Headers of a request that its object gives back. */
export function keptHeaders(request: S3Request): Record<string, string> {
  const headers: Record<string, string> = {};
  let metaBytes = 0;
  for (const name of Object.keys(request.message.headers)) {
    const value = request.header(name) ?? '';
    if (name.startsWith('x-amz-meta-'))
      metaBytes += name.length - 'x-amz-meta-'.length + Buffer.byteLength(value);
    if (keptNames.includes(name) || name.startsWith('x-amz-meta-')) headers[name] = value;
  }
  if (metaBytes > metaBytesMax)
    throw new S3Error('InvalidArgument', 'Your metadata headers exceed the maximum allowed metadata size');
  const encoding = (request.header('content-encoding') ?? '')
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '' && one !== 'aws-chunked');
  if (encoding.length > 0) headers['content-encoding'] = encoding.join(',');
  return headers;
}

/** The checksum that an SDK asks for by name (`x-amz-checksum-algorithm`), or null. */
export function namedAlgorithm(request: S3Request): ChecksumName | null {
  const name = request.header('x-amz-checksum-algorithm')?.toLowerCase();
  if (name === undefined) return null;
  const known = checksumNames.find((one) => one === name);
  if (known === undefined) throw new S3Error('NotImplemented', `The checksum ${name} is not implemented.`);
  return known;
}
