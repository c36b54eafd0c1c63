import { createBucket, deleteBucket, deleteObjects, listBuckets, listObjects } from './buckets.ts';
import { S3Error } from './errors.ts';
import {
  abortUpload,
  completeUpload,
  createUpload,
  listParts,
  listUploads,
  type UploadContext,
  uploadPart,
} from './multipart.ts';
import { deleteObject, getObject, putObject } from './objects.ts';
import { type Reply, xmlReply } from './reply.ts';

type Handler = (context: UploadContext) => Reply | Promise<Reply>;

/** Sub-resources of S3 that this server does not have: without this, `?acl` would look like the object. */
const absent: readonly string[] = [
  'accelerate',
  'acl',
  'analytics',
  'attributes',
  'cors',
  'encryption',
  'intelligent-tiering',
  'inventory',
  'legal-hold',
  'lifecycle',
  'logging',
  'metrics',
  'notification',
  'object-lock',
  'ownershipControls',
  'policy',
  'policyStatus',
  'publicAccessBlock',
  'replication',
  'requestPayment',
  'restore',
  'retention',
  'select',
  'tagging',
  'torrent',
  'versionId',
  'versioning',
  'versions',
  'website',
];

/** Answers a request that has been let in. Throws S3Error. */
export async function route(context: UploadContext): Promise<Reply> {
  const { request, store } = context;
  const { method, bucket, key, query } = request;
  const missing = absent.find((name) => query.has(name));
  if (missing !== undefined || (query.has('partNumber') && !query.has('uploadId')))
    throw new S3Error(
      'NotImplemented',
      `A header or query you provided is not implemented: ${missing ?? 'partNumber'}`,
    );
  if (bucket === '') return allow(method, { GET: listBuckets })(context);
  if (key === '' && method === 'PUT') return createBucket(context);
  if (!store.bucketExists(bucket))
    throw new S3Error('NoSuchBucket', 'The specified bucket does not exist', {
      extra: [['BucketName', bucket]],
    });
  return (key === '' ? bucketHandler(context) : objectHandler(context))(context);
}

function bucketHandler({ request: { method, query } }: UploadContext): Handler {
  if (method === 'GET' && query.has('location')) return () => xmlReply('LocationConstraint', []);
  if (method === 'GET' && query.has('uploads')) return listUploads;
  if (method === 'POST' && query.has('delete')) return deleteObjects;
  return allow(method, { GET: listObjects, HEAD: () => ({ status: 200 }), DELETE: deleteBucket });
}

function objectHandler({ request: { method, query } }: UploadContext): Handler {
  if (query.has('uploadId'))
    return allow(method, { GET: listParts, PUT: uploadPart, POST: completeUpload, DELETE: abortUpload });
  if (query.has('uploads')) return allow(method, { POST: createUpload });
  return allow(method, { GET: getObject, HEAD: getObject, PUT: putObject, DELETE: deleteObject });
}

function allow(method: string, handlers: Record<string, Handler>): Handler {
  const handler = Object.hasOwn(handlers, method) ? handlers[method] : undefined;
  if (handler === undefined)
    throw new S3Error('MethodNotAllowed', 'The specified method is not allowed against this resource.', {
      headers: { Allow: Object.keys(handlers).join(', ') },
    });
  return handler;
}
