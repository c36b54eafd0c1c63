import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { receiveBody, receiveText } from './body.ts';
import { encoderOf, readXml } from './buckets.ts';
import { type Checksum, type ChecksumName, createChecksum } from './checksums.ts';
import { checkWriteConditions } from './conditions.ts';
import { S3Error } from './errors.ts';
import { type Context, keptHeaders, namedAlgorithm, putBytesMax } from './objects.ts';
import { type Reply, xmlReply } from './reply.ts';
import { numberIn, type S3Request } from './request.ts';
import { checkNewKey, dropTemp, type ObjectMeta, type TempFile } from './store.ts';
import type { Part, Upload, Uploads } from './uploads.ts';
import { childText, type XmlElement, type XmlNode } from './xml.ts';

export type UploadContext = Context & { uploads: Uploads };

const partsMax = 10_000;

/** CreateMultipartUpload. */
export async function createUpload({ request, uploads }: UploadContext): Promise<Reply> {
  checkNewKey(request.key);
  const name = namedAlgorithm(request);
  const upload = await uploads.create({
    bucket: request.bucket,
    key: request.key,
    headers: keptHeaders(request),
    checksum: name === null ? null : { name, type: checksumType(request, name) },
  });
  const { checksum } = upload;
  const headers: Record<string, string> =
    checksum === null
      ? {}
      : { 'x-amz-checksum-algorithm': checksum.name.toUpperCase(), 'x-amz-checksum-type': checksum.type };
  return xmlReply(
    'InitiateMultipartUploadResult',
    [
      ['Bucket', upload.bucket],
      ['Key', upload.key],
      ['UploadId', upload.id],
    ],
    headers,
  );
}

/** CRC-64/NVME knows no composite form, SHA knows no other ("Checking object integrity"). */
function checksumType(request: S3Request, name: string): 'FULL_OBJECT' | 'COMPOSITE' {
  const asked = request.header('x-amz-checksum-type')?.toUpperCase();
  const type = asked ?? (name === 'crc64nvme' ? 'FULL_OBJECT' : 'COMPOSITE');
  const fits =
    name === 'crc64nvme' ? type === 'FULL_OBJECT' : name.startsWith('sha') ? type === 'COMPOSITE' : true;
  if ((type !== 'FULL_OBJECT' && type !== 'COMPOSITE') || !fits)
    throw new S3Error(
      'InvalidRequest',
      `The ${asked} checksum type cannot be used with the ${name} checksum algorithm.`,
    );
  return type;
}

/** UploadPart. */
export async function uploadPart({ store, request, signed, uploads }: UploadContext): Promise<Reply> {
  const upload = await uploadOf(request, uploads);
  const number = numberIn(request, 'partNumber', 0, 1, partsMax);
  if (number === 0)
    throw new S3Error('InvalidArgument', 'Part number must be an integer between 1 and 10000');
  if (request.header('x-amz-copy-source') !== undefined)
    throw new S3Error('NotImplemented', 'UploadPartCopy is not implemented.');
  const temp = await store.createTemp();
  try {
    const compute = upload.checksum?.name ?? null;
    const facts = await receiveBody({ request, signed, bytesMax: putBytesMax, compute }, async (chunk) => {
      await temp.file.appendFile(chunk);
    });
    await temp.file.sync();
    const md5 = facts.md5.toString('hex');
    const { checksum, size } = facts;
    if (compute !== null && checksum?.name !== compute)
      throw new S3Error(
        'InvalidRequest',
        `Checksum Type mismatch occurred, expected checksum Type: ${compute}`,
      );
    await uploads.putPart(upload.id, temp, { number, size, md5, checksum, modifiedMs: Date.now() });
    const headers: Record<string, string> = { ETag: `"${md5}"` };
    if (checksum !== null) headers[`x-amz-checksum-${checksum.name}`] = checksum.value;
    return { status: 200, headers };
  } finally {
    await dropTemp(temp);
  }
}

const uploadOf = (request: S3Request, uploads: Uploads): Promise<Upload> =>
  uploads.get(request.query.get('uploadId') ?? '', request.bucket, request.key);

/** CompleteMultipartUpload: joins the parts that are named into the object. */
export async function completeUpload(context: UploadContext): Promise<Reply> {
  const { store, request, signed, uploads, partBytesMin } = context;
  const upload = await uploadOf(request, uploads);
  const claimed = request.header(`x-amz-checksum-${upload.checksum?.name ?? 'none'}`);
  // A checksum in the headers here is the object's, not the body's.
  const { text } = await receiveText({
    request,
    signed,
    bytesMax: 4 * 1024 * 1024,
    checksumIs: 'the object',
  });
  const parts = chosenParts(text, await uploads.parts(upload.id), partBytesMin);
  const temp = await store.createTemp();
  try {
    const whole = upload.checksum?.type === 'FULL_OBJECT' ? createChecksum(upload.checksum.name) : null;
    await join(uploads, upload, parts, temp, whole);
    const value =
      upload.checksum === null ? null : (whole?.digest() ?? compositeOf(upload.checksum.name, parts));
    if (claimed !== undefined && claimed !== value)
      throw new S3Error('BadDigest', 'The checksum you specified did not match the calculated checksum.');
    const meta: ObjectMeta = {
      etag: multipartEtag(parts),
      headers: upload.headers,
      checksum: upload.checksum === null || value === null ? null : { ...upload.checksum, value },
    };
    await store.publish(temp, upload, meta, (now) => checkWriteConditions(request, now));
    await uploads.remove(upload.id);
    return completed(upload, meta);
  } finally {
    await dropTemp(temp);
  }
}

function completed(upload: Upload, meta: ObjectMeta): Reply {
  const elements: XmlElement[] = [
    ['Location', `/${upload.bucket}/${upload.key}`],
    ['Bucket', upload.bucket],
    ['Key', upload.key],
    ['ETag', `"${meta.etag}"`],
  ];
  if (meta.checksum !== null) {
    elements.push([`Checksum${meta.checksum.name.toUpperCase()}`, meta.checksum.value]);
    elements.push(['ChecksumType', meta.checksum.type]);
  }
  return xmlReply('CompleteMultipartUploadResult', elements);
}

/** The parts that the request names, in its order, each with the ETag and checksum that it names. */
function chosenParts(text: string, stored: Part[], partBytesMin: number): Part[] {
  const named = readXml(text, 'CompleteMultipartUpload').children.filter((child) => child.name === 'Part');
  if (named.length === 0) throw new S3Error('MalformedXML', 'The XML you provided names no part.');
  const numbers = named.map((node) => Number(childText(node, 'PartNumber')?.trim() ?? Number.NaN));
  if (numbers.some((number, index) => !(number > (numbers[index - 1] ?? 0))))
    throw new S3Error(
      'InvalidPartOrder',
      'The list of parts was not in ascending order. Parts must be ordered by part number.',
    );
  const byNumber = new Map(stored.map((part) => [part.number, part]));
  const parts = named.map((node, index) => chosenPart(node, byNumber.get(numbers[index] ?? 0)));
  const small = parts.slice(0, -1).find((part) => part.size < partBytesMin);
  if (small !== undefined)
    throw new S3Error('EntityTooSmall', 'Your proposed upload is smaller than the minimum allowed size', {
      extra: [
        ['ProposedSize', small.size],
        ['MinSizeAllowed', partBytesMin],
      ],
    });
  return parts;
}

/** The stored part, if it is the one that the request means. */
function chosenPart(node: XmlNode, part: Part | undefined): Part {
  const etag = childText(node, 'ETag')?.trim().replace(/^"|"$/g, '');
  const claimed =
    part?.checksum == null ? null : childText(node, `Checksum${part.checksum.name.toUpperCase()}`);
  if (part !== undefined && etag === part.md5 && (claimed === null || claimed === part.checksum?.value))
    return part;
  throw new S3Error(
    'InvalidPart',
    "One or more of the specified parts could not be found. The part might not have been uploaded, or the specified entity tag might not have matched the part's entity tag.",
  );
}

async function join(
  uploads: Uploads,
  upload: Upload,
  parts: Part[],
  temp: TempFile,
  whole: Checksum | null,
): Promise<void> {
  for (const part of parts) {
    for await (const chunk of createReadStream(uploads.pathOf(upload.id, part), {
      highWaterMark: 1024 * 1024,
    })) {
      whole?.update(chunk as Buffer);
      await temp.file.appendFile(chunk as Buffer);
    }
  }
  await temp.file.sync();
}

/** The ETag of a multipart object: MD5 over the MD5s of its parts, and their number. */
const multipartEtag = (parts: Part[]): string =>
  `${createHash('md5')
    .update(Buffer.concat(parts.map((part) => Buffer.from(part.md5, 'hex'))))
    .digest('hex')}-${parts.length}`;

function compositeOf(name: ChecksumName, parts: Part[]): string {
  const checksum = createChecksum(name);
  for (const part of parts) checksum.update(Buffer.from(part.checksum?.value ?? '', 'base64'));
  return `${checksum.digest()}-${parts.length}`;
}

/** AbortMultipartUpload. */
export async function abortUpload({ request, uploads }: UploadContext): Promise<Reply> {
  const upload = await uploadOf(request, uploads);
  await uploads.remove(upload.id);
  return { status: 204 };
}

/** ListParts, paged. */
export async function listParts({ request, uploads }: UploadContext): Promise<Reply> {
  const upload = await uploadOf(request, uploads);
  const marker = numberIn(request, 'part-number-marker', 0, 0, 2 ** 31 - 1);
  const max = Math.min(1000, numberIn(request, 'max-parts', 1000, 0, 2 ** 31 - 1));
  const rest = (await uploads.parts(upload.id)).filter((part) => part.number > marker);
  const page = rest.slice(0, max);
  return xmlReply('ListPartsResult', [
    ['Bucket', upload.bucket],
    ['Key', upload.key],
    ['UploadId', upload.id],
    ['PartNumberMarker', marker],
    ['NextPartNumberMarker', rest.length > page.length ? (page.at(-1)?.number ?? marker) : null],
    ['MaxParts', max],
    ['IsTruncated', rest.length > page.length],
    ['ChecksumAlgorithm', upload.checksum?.name.toUpperCase() ?? null],
    ['ChecksumType', upload.checksum?.type ?? null],
    ...page.map((part): XmlElement => ['Part', partElements(part)]),
    ['StorageClass', 'STANDARD'],
  ]);
}

function partElements({ number, modifiedMs, md5, size, checksum }: Part): XmlElement[] {
  const elements: XmlElement[] = [
    ['PartNumber', number],
    ['LastModified', new Date(modifiedMs).toISOString()],
    ['ETag', `"${md5}"`],
    ['Size', size],
  ];
  if (checksum !== null) elements.push([`Checksum${checksum.name.toUpperCase()}`, checksum.value]);
  return elements;
}

/** ListMultipartUploads, paged. */
export async function listUploads({ request, uploads }: UploadContext): Promise<Reply> {
  const { query } = request;
  if (query.get('delimiter'))
    throw new S3Error('NotImplemented', 'ListMultipartUploads takes no delimiter here.');
  const encode = encoderOf(request);
  const prefix = query.get('prefix') ?? '';
  const [keyMarker, idMarker] = [query.get('key-marker') ?? '', query.get('upload-id-marker') ?? ''];
  const max = Math.min(1000, numberIn(request, 'max-uploads', 1000, 0, 2 ** 31 - 1));
  const rest = (await uploads.list(request.bucket)).filter(({ key, id }) => {
    const order = Buffer.compare(Buffer.from(key), Buffer.from(keyMarker));
    return key.startsWith(prefix) && (order > 0 || (order === 0 && idMarker !== '' && id > idMarker));
  });
  const page = rest.slice(0, max);
  const last = rest.length > page.length ? page.at(-1) : undefined;
  return xmlReply('ListMultipartUploadsResult', [
    ['Bucket', request.bucket],
    ['Prefix', encode(prefix)],
    ['KeyMarker', encode(keyMarker)],
    ['UploadIdMarker', idMarker],
    ['EncodingType', query.get('encoding-type') ?? null],
    ['NextKeyMarker', last === undefined ? null : encode(last.key)],
    ['NextUploadIdMarker', last?.id ?? null],
    ['MaxUploads', max],
    ['IsTruncated', last !== undefined],
    ...page.map(({ key, id, initiatedMs }): XmlElement => {
      return [
        'Upload',
        [
          ['Key', encode(key)],
          ['UploadId', id],
          ['Initiated', new Date(initiatedMs).toISOString()],
          ['StorageClass', 'STANDARD'],
        ],
      ];
    }),
  ]);
}
