import type { Readable } from 'node:stream';
import type {
  $Command,
  S3Client,
  S3ClientConfig,
  S3ClientResolvedConfig,
  ServiceInputTypes,
  ServiceOutputTypes,
} from '@aws-sdk/client-s3';
import { unrecoverable } from '#core/errors';
import type { S3Source } from '#core/source';
import { guardedBody, type Pace, smallBody } from './net/body.ts';
import type { ObjectFacts, ObjectRange, ObjectSource, RangeRequest, Waiting } from './object-source.ts';
import {
  checkRoot,
  compareEtag,
  type ListingPage,
  readContentRange,
  readEtag,
  readPage,
  readSize,
} from './s3/answers.ts';
import { checkSource } from './s3/endpoint.ts';
import {
  changedError,
  judgeOf,
  placeOf,
  protocolError,
  type Request,
  refusalError,
  thrownError,
} from './s3/failures.ts';

export interface S3Options {
  /** Milliseconds without one byte after which the source counts as dead. Default 30 s. */
  idleMs?: number;
  /** The slowest that an object may come. Default: however slow. */
  pace?: Pace;
  /** Milliseconds for the connection, TLS included. Default 10 s. */
  connectMs?: number;
  /** Keys of one listing, common prefixes included. A family has at most 127 layers; default 10,000. */
  listKeysMax?: number;
  /** Instead of what the SDK finds in environment, files and instance metadata. */
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
}

type Sdk = typeof import('@aws-sdk/client-s3');
type Command<Input extends ServiceInputTypes, Output extends ServiceOutputTypes> = $Command<
  Input,
  Output,
  S3ClientResolvedConfig,
  ServiceInputTypes,
  ServiceOutputTypes
>;

/** XML of 1,000 keys of 1,024 bytes, each byte as three, with room for the tags. */
const answerBytesMax = 8 * 1024 * 1024;
const refusalBytesMax = 64 * 1024;
const listPagesMax = 1000;

/**
 * S3 as an ObjectSource. The SDK costs 100 ms to import, so that waits for the first request.
 * Credentials come from the SDK's default chain, or from nowhere for an anonymous source.
 */
export function createS3Source(options: S3Options = {}): ObjectSource {
  const { idleMs = 30_000, connectMs = 10_000, listKeysMax = 10_000, pace } = options;
  const clients = new Map<string, S3Client>();
  let sdk: Promise<Sdk> | undefined;

  async function connect(source: S3Source): Promise<{ sdk: Sdk; client: S3Client }> {
    checkSource(source);
    sdk ??= import('@aws-sdk/client-s3');
    const loaded = await sdk;
    const name = JSON.stringify([source.endpoint, source.region, source.anonymous]);
    let client = clients.get(name);
    if (client === undefined) {
      client = new loaded.S3Client(clientConfig(source, options, { idleMs, connectMs }));
      clients.set(name, client);
    }
    return { sdk: loaded, client };
  }

  /**
   * Sends one request, once. Refusals are judged here, from status and body, before the SDK sees
   * them. `expected` says what the body of a success is: an object's bytes, which are left to the
   * caller, or XML with this root. All but the first is read here, so that no answer can fill the
   * memory, and looked at: to the SDK any HTML page is an empty listing.
   */
  async function send<Input extends ServiceInputTypes, Output extends ServiceOutputTypes>(
    request: Request,
    expected: 'object' | 'nothing' | 'ListBucketResult',
    waiting: Waiting | undefined,
    build: (sdk: Sdk) => Command<Input, Output>,
  ): Promise<Output> {
    const { sdk, client } = await connect(request.source);
    const signal = waiting?.signal;
    const guard = { judge: judgeOf(request), idleMs, pace, signal };
    const command = build(sdk);
    command.middlewareStack.add(
      (next) => async (args) => {
        // After signing: proxies change this header, and a signature over it would break.
        (args.request as { headers: Record<string, string> }).headers['accept-encoding'] = 'identity';
        const result = await next(args);
        const response = result.response as WireResponse;
        const status = response.statusCode;
        if (status > 299 || status < 200) {
          const body = await smallBody(response.body, refusalBytesMax, guard).catch(() => Buffer.alloc(0));
          throw refusalError(request, { status, headers: response.headers, body: body.toString('utf8') });
        }
        if (expected === 'object') return result;
        const body = await smallBody(response.body, answerBytesMax, guard);
        if (expected !== 'nothing') checkRoot(request, expected, body);
        response.body = body as never;
        return result;
      },
      { step: 'deserialize', priority: 'low', name: 'flydAnswer' },
    );
    try {
      signal?.throwIfAborted();
      return await client.send(command, signal === undefined ? {} : { abortSignal: signal });
    } catch (error) {
      signal?.throwIfAborted();
      throw thrownError(request, error);
    }
  }

  async function* pages(
    source: S3Source,
    prefix: string,
    waiting: Waiting | undefined,
  ): AsyncGenerator<ListingPage> {
    const request = { source, key: null };
    const seen = new Set<string>();
    let token: string | undefined;
    do {
      const page: ListingPage = await send(
        request,
        'ListBucketResult',
        waiting,
        (sdk) =>
          new sdk.ListObjectsV2Command({
            Bucket: source.bucket,
            Prefix: prefix,
            Delimiter: '/',
            EncodingType: 'url',
            ContinuationToken: token,
          }),
      );
      yield page;
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
      if (page.IsTruncated === true && (token === undefined || seen.has(token)))
        throw protocolError(request, 'the listing says it goes on, but not from where');
      if (token !== undefined) seen.add(token);
      if (seen.size > listPagesMax)
        throw unrecoverable('limit_exceeded', `the listing has more than ${listPagesMax} pages`, {
          subject: placeOf(request),
        });
    } while (token !== undefined);
  }

  async function list(source: S3Source, prefix: string, waiting?: Waiting): Promise<ObjectFacts[]> {
    const request = { source, key: null };
    const found = new Map<string, ObjectFacts>();
    let keys = 0;
    for await (const page of pages(source, prefix, waiting)) {
      keys += (page.Contents?.length ?? 0) + (page.CommonPrefixes?.length ?? 0);
      if (keys > listKeysMax)
        throw unrecoverable('limit_exceeded', `the listing has more than ${listKeysMax} keys`, {
          subject: placeOf({ source, key: prefix }),
        });
      for (const facts of readPage(request, prefix, page)) {
        if (found.has(facts.key)) throw protocolError(request, `the listing names ${facts.key} twice`);
        found.set(facts.key, facts);
      }
    }
    return [...found.values()].sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
  }

  async function head(source: S3Source, key: string, waiting?: Waiting): Promise<ObjectFacts> {
    const request = { source, key };
    const answer = await send(
      request,
      'nothing',
      waiting,
      (sdk) => new sdk.HeadObjectCommand({ Bucket: source.bucket, Key: key }),
    );
    return { key, etag: readEtag(request, answer.ETag), size: readSize(request, answer.ContentLength) };
  }

  async function openRange(source: S3Source, wanted: RangeRequest, waiting?: Waiting): Promise<ObjectRange> {
    const { key, start, etag } = wanted;
    const request = { source, key };
    const answer = await send(
      request,
      'object',
      waiting,
      (sdk) =>
        new sdk.GetObjectCommand({
          Bucket: source.bucket,
          Key: key,
          Range: start > 0 ? `bytes=${start}-` : undefined,
          IfMatch: etag === null ? undefined : `"${etag}"`,
        }),
    );
    const body = answer.Body as Readable | undefined;
    try {
      if (body === undefined) throw protocolError(request, 'the answer has no body');
      const answered = readEtag(request, answer.ETag);
      compareEtag(request, etag, answered);
      const partial = answer.$metadata.httpStatusCode === 206;
      if (partial && start === 0 && answer.ContentRange === undefined)
        throw protocolError(request, 'the answer is a part of the object that nobody asked for');
      const size = partial
        ? readContentRange(request, answer.ContentRange, start)
        : answer.ContentLength === undefined
          ? null
          : readSize(request, answer.ContentLength);
      if (
        partial &&
        answer.ContentLength !== undefined &&
        size !== null &&
        answer.ContentLength !== size - start
      )
        throw protocolError(request, 'Content-Length and Content-Range of the answer differ');
      if (size !== null && size < start)
        throw changedError(request, `the object has ${size} bytes, those from ${start} on were asked for`);
      return {
        etag: answered,
        size,
        start: partial ? start : 0,
        body: guardedBody(body, { judge: judgeOf(request), idleMs, pace, signal: waiting?.signal }),
      };
    } catch (error) {
      body?.destroy();
      throw error;
    }
  }

  async function readSmall(
    source: S3Source,
    key: string,
    maxBytes: number,
    waiting?: Waiting,
  ): Promise<Buffer> {
    const opened = await openRange(source, { key, start: 0, etag: null }, waiting);
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of opened.body) {
      bytes += chunk.length;
      if (bytes > maxBytes)
        throw unrecoverable('limit_exceeded', `the object is larger than ${maxBytes} bytes`, {
          subject: placeOf({ source, key }),
        });
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  return {
    list,
    head,
    openRange,
    readSmall,
    close() {
      for (const client of clients.values()) client.destroy();
      clients.clear();
    },
  };
}

interface WireResponse {
  statusCode: number;
  headers: Record<string, string | undefined>;
  body: Readable;
}

function clientConfig(
  source: S3Source,
  options: S3Options,
  { idleMs, connectMs }: { idleMs: number; connectMs: number },
): S3ClientConfig {
  return {
    region: source.region,
    // AWS_* variables are for credentials only: an endpoint from there would move a pull elsewhere.
    ...(source.endpoint === null
      ? { ignoreConfiguredEndpointUrls: true }
      : { endpoint: source.endpoint, forcePathStyle: true }),
    ...(source.anonymous
      ? {
          credentials: { accessKeyId: '', secretAccessKey: '' },
          signer: { sign: async (request) => request },
        }
      : options.credentials === undefined
        ? {}
        : { credentials: options.credentials }),
    maxAttempts: 1, // the engine retries, and counts
    followRegionRedirects: false,
    disableS3ExpressSessionAuth: true,
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    useArnRegion: false,
    // Only where the operation demands them: other servers answer 400 or never answer (R2, older radosgw).
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // requestTimeout ends with the headers of the answer; the body is watched by guardedBody.
    requestHandler: { connectionTimeout: connectMs, requestTimeout: idleMs, throwOnRequestTimeout: true },
  };
}
