import { receiveText } from './body.ts';
import { S3Error } from './errors.ts';
import { type Listing, type ListingQuery, listKeys, readToken, writeToken } from './listing.ts';
import type { Context } from './objects.ts';
import { type Reply, xmlReply } from './reply.ts';
import { numberIn, type S3Request } from './request.ts';
import { isBucketName, isFileKey, modifiedMsOf } from './store.ts';
import { childText, parseXml, type XmlElement, type XmlNode, XmlSyntaxError } from './xml.ts';

/** ListBuckets. */
export function listBuckets({ store }: Context): Reply {
  const buckets = store.buckets().map((name): XmlElement => {
    return [
      'Bucket',
      [
        ['Name', name],
        ['CreationDate', new Date(0).toISOString()],
      ],
    ];
  });
  return xmlReply('ListAllMyBucketsResult', [
    ['Owner', [['ID', 'owner']]],
    ['Buckets', buckets],
  ]);
}

/** CreateBucket. */
export async function createBucket({ store, request, signed }: Context): Promise<Reply> {
  if (!isBucketName(request.bucket))
    throw new S3Error('InvalidBucketName', 'The specified bucket is not valid.');
  await receiveText({ request, signed, bytesMax: 64 * 1024 }); // a location, which means nothing here
  if (!(await store.tree.makeDirectory(request.bucket)))
    throw new S3Error('BucketAlreadyOwnedByYou', 'The bucket is there already.');
  return { status: 200, headers: { Location: `/${request.bucket}` } };
}

/** DeleteBucket. */
export function deleteBucket({ store, request }: Context): Reply {
  const result = store.tree.removeDirectory(request.bucket);
  if (result === 'not empty')
    throw new S3Error('BucketNotEmpty', 'The bucket you tried to delete is not empty');
  return { status: 204 };
}

/** ListObjectsV2, and ListObjects, its older form. */
export async function listObjects(context: Context): Promise<Reply> {
  const { store, request } = context;
  const { query } = request;
  const v2 = query.get('list-type') === '2';
  const token = query.get('continuation-token');
  const start = query.get(v2 ? 'start-after' : 'marker') ?? '';
  const wanted: ListingQuery = {
    bucket: request.bucket,
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    ...(v2 && token !== undefined
      ? readToken(token)
      : { after: start, done: v2 ? '' : rolledUpMarker(request, start) }),
    max: Math.min(1000, numberIn(request, 'max-keys', 1000, 0, 2 ** 31 - 1)),
  };
  const listing = listKeys(store.tree, wanted);
  const encode = encoderOf(request);
  const next = listing.next;
  return xmlReply('ListBucketResult', [
    ['Name', request.bucket],
    ['Prefix', encode(wanted.prefix)],
    ['Delimiter', wanted.delimiter === '' ? null : encode(wanted.delimiter)],
    ['MaxKeys', wanted.max],
    ['EncodingType', query.get('encoding-type') ?? null],
    ['KeyCount', v2 ? listing.contents.length + listing.commonPrefixes.length : null],
    ['IsTruncated', next !== null],
    ['ContinuationToken', v2 ? (token ?? null) : null],
    ['NextContinuationToken', v2 && next !== null ? writeToken(next) : null],
    [v2 ? 'StartAfter' : 'Marker', v2 && start === '' ? null : encode(start)],
    ['NextMarker', !v2 && next !== null ? encode(next.after) : null],
    ...(await contentsOf(context, listing, encode)),
    ...listing.commonPrefixes.map((prefix): XmlElement => ['CommonPrefixes', [['Prefix', encode(prefix)]]]),
  ]);
}

/** A marker that is a common prefix, as NextMarker gives it, stands for everything below it. */
const rolledUpMarker = ({ query }: S3Request, marker: string): string =>
  marker !== '' && query.get('delimiter') !== undefined && marker.endsWith(query.get('delimiter') ?? '')
    ? marker
    : '';

/** One after the other: each may have to read a whole file for its ETag. */
async function contentsOf(
  { store, request }: Context,
  listing: Listing,
  encode: (text: string) => string,
): Promise<XmlElement[]> {
  const elements: XmlElement[] = [];
  for (const { key, stat } of listing.contents) {
    const { etag } = await store.versionOf(`${request.bucket}/${key}`, stat);
    elements.push([
      'Contents',
      [
        ['Key', encode(key)],
        ['LastModified', new Date(modifiedMsOf(stat)).toISOString()],
        ['ETag', `"${etag}"`],
        ['Size', stat.size],
        ['StorageClass', 'STANDARD'],
      ],
    ]);
  }
  return elements;
}

/** How this request wants keys written: as they are, or as forms write them. */
export function encoderOf({ query }: S3Request): (text: string) => string {
  const type = query.get('encoding-type');
  if (type === undefined) return (text) => text;
  if (type !== 'url') throw new S3Error('InvalidArgument', 'Invalid Encoding Method specified in Request');
  return (text) => encodeURIComponent(text).replaceAll('%2F', '/').replaceAll('%20', '+');
}

const deleteKeysMax = 1000;

/** DeleteObjects. Its body must come with a digest, as at S3. */
export async function deleteObjects(context: Context): Promise<Reply> {
  const { store, request, signed } = context;
  const { text, facts } = await receiveText({ request, signed, bytesMax: 2 * 1024 * 1024 });
  if (facts.checksum === null && request.header('content-md5') === undefined)
    throw new S3Error(
      'InvalidRequest',
      'Missing required header for this request: Content-MD5 OR x-amz-checksum-*',
    );
  const document = readXml(text, 'Delete');
  const keys = document.children
    .filter((child) => child.name === 'Object')
    .map((child) => childText(child, 'Key'));
  if (keys.length === 0 || keys.length > deleteKeysMax || keys.includes(null)) throw malformedXml();
  const quiet = childText(document, 'Quiet')?.trim() === 'true';
  const results: XmlElement[] = [];
  for (const key of keys as string[]) {
    if (isFileKey(key)) await store.remove({ bucket: request.bucket, key });
    if (!quiet) results.push(['Deleted', [['Key', key]]]);
  }
  return xmlReply('DeleteResult', results);
}

const malformedXml = (): S3Error =>
  new S3Error(
    'MalformedXML',
    'The XML you provided was not well-formed or did not validate against our published schema',
  );

/** A document with this root. Throws MalformedXML. */
export function readXml(text: string, root: string): XmlNode {
  try {
    const document = parseXml(text);
    if (document.name === root) return document;
  } catch (error) {
    if (!(error instanceof XmlSyntaxError)) throw error;
  }
  throw malformedXml();
}
