import { randomBytes } from 'node:crypto';
import { realpath, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { unrecoverable } from '#core/errors';
import { fileError } from '../durable.ts';
import { isLoopback } from '../s3/endpoint.ts';
import { S3Error } from './errors.ts';
import type { Reply } from './reply.ts';
import { readRequest, type S3Request } from './request.ts';
import { route } from './routes.ts';
import { type Credentials, verifySignature } from './sigv4.ts';
import { openStore, type Store } from './store.ts';
import { openUploads, type Uploads } from './uploads.ts';

export interface S3ServerOptions {
  /** Folders in it are buckets, files in those are objects by path. Links that lead out are not followed. */
  dir: string;
  /** 0, the default, picks a free one. */
  port?: number;
  /** Default 127.0.0.1. Any other than loopback needs credentials. */
  host?: string;
  /** With them every request must be signed (SigV4, header); without, anybody on this machine may do everything. */
  credentials?: Credentials;
  /** Told of each request once it is over. */
  log?: (entry: S3LogEntry) => void;
  /** Sees each request first; true when it has answered (or means not to). For injecting faults. */
  intercept?: (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>;
  /** Bytes of a part of a multipart upload but the last, at least. Default 5 MiB, as at S3. */
  partBytesMin?: number;
  /** Milliseconds since 1970, for the clock skew of signatures. */
  now?: () => number;
}

export interface S3LogEntry {
  method: string;
  bucket: string;
  key: string;
  /** The query as it was sent. */
  query: string;
  /** The Range header, or null. */
  range: string | null;
  status: number;
  /** The S3 error code, or null. */
  code: string | null;
  /** Body bytes given to the connection; a client that goes away may have had fewer. */
  bytes: number;
  ms: number;
}

export interface S3Server {
  /** `http://127.0.0.1:12345` */
  endpoint: string;
  /** Ends connections, also those in use. */
  close(): Promise<void>;
}

/**
 * An S3-compatible server over a folder: what `flyd s3 serve` runs. Listens when it resolves. Fails
 * with `usage` (no such folder, no keys for an address that others reach), `system_call` (the port).
 */
export async function startS3Server(options: S3ServerOptions): Promise<S3Server> {
  const { port = 0, host = '127.0.0.1', credentials } = options;
  if (credentials === undefined && !isLoopback(host.includes(':') ? `[${host}]` : host))
    throw unrecoverable('usage', 'without keys the server listens on loopback only', {
      subject: host,
      hint: 'give --access-key and --secret-key',
    });
  const store = await openStore(await folderOf(options.dir));
  const uploads = openUploads(store.uploadsDir);
  const answer = (message: IncomingMessage, response: ServerResponse, beforeBody: () => void) =>
    void serve({ options, store, uploads }, message, response, beforeBody);
  const server = createServer((message, response) => answer(message, response, () => {}));
  server.on('checkContinue', (message: IncomingMessage, response: ServerResponse) =>
    answer(message, response, () => response.writeContinue()),
  );
  server.requestTimeout = 0; // an upload takes as long as it takes; one that stalls ends with the next line
  server.timeout = 120_000;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, resolve);
    });
  } catch (error) {
    store.close();
    throw fileError(error, 'listen on', `${host}:${port}`);
  }
  const address = server.address() as AddressInfo;
  return {
    endpoint: `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          store.close();
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

async function folderOf(dir: string): Promise<string> {
  const path = await realpath(dir).catch(() => null);
  if (path === null || !(await stat(path)).isDirectory())
    throw unrecoverable('usage', 'there is no such folder', { subject: dir });
  return path;
}

interface Service {
  options: S3ServerOptions;
  store: Store;
  uploads: Uploads;
}

/** One request, from its first look to its log line. Never rejects. */
async function serve(
  { options, store, uploads }: Service,
  message: IncomingMessage,
  response: ServerResponse,
  beforeBody: () => void,
): Promise<void> {
  const startedMs = performance.now();
  const outcome = { status: 0, code: null as string | null, bytes: 0 };
  let request: S3Request | null = null;
  try {
    if ((await options.intercept?.(message, response)) === true) {
      outcome.status = response.statusCode;
      return;
    }
    let reply: Reply;
    try {
      request = readRequest(message, beforeBody);
      const signed = letIn(request, options);
      const partBytesMin = options.partBytesMin ?? 5 * 1024 * 1024;
      reply = await route({ store, uploads, request, signed, partBytesMin });
    } catch (error) {
      const refusal = error instanceof S3Error ? error : internalError(error);
      outcome.code = refusal.code;
      reply = refusalReply(refusal, message);
    }
    outcome.status = reply.status;
    await send(reply, message, response, outcome);
  } catch {
    response.destroy(); // the client went away in the middle: nobody is left to tell
  } finally {
    options.log?.(logEntry(message, request, outcome, performance.now() - startedMs));
  }
}

/** Throws unless the request may pass. */
function letIn(request: S3Request, { credentials, now = Date.now }: S3ServerOptions) {
  if (credentials !== undefined) return verifySignature(request, credentials, now());
  // Without keys the browser of somebody on this machine must not be a way in: neither a page that
  // posts here (Origin), nor one whose name was made to resolve to loopback (Host).
  const host = (request.header('host') ?? '').replace(/:\d+$/, '');
  if (!isLoopback(host) || request.header('origin') !== undefined)
    throw new S3Error('AccessDenied', 'Without keys this server answers this machine only, and no web page.');
  return null;
}

function internalError(error: unknown): S3Error {
  const detail = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new S3Error('InternalError', `We encountered an internal error. Please try again. (${detail})`);
}

function refusalReply(error: S3Error, message: IncomingMessage): Reply {
  const requestId = randomBytes(8).toString('hex').toUpperCase();
  const headers: Record<string, string> = { ...error.headers, 'x-amz-request-id': requestId };
  if (error.status === 304) return { status: 304, headers };
  const resource = (message.url ?? '/').split('?')[0] ?? '/';
  return {
    status: error.status,
    headers: { ...headers, 'Content-Type': 'application/xml' },
    body: error.toXml(resource, requestId),
  };
}

/** What is read of a file at a time: with Node's 64 KiB, a large object comes at a third of the speed. */
const readBytes = 1024 * 1024;

async function send(
  reply: Reply,
  message: IncomingMessage,
  response: ServerResponse,
  outcome: { bytes: number },
): Promise<void> {
  const { body, headers = {} } = reply;
  // A body that nobody read would be taken for the next request.
  if (!message.complete) response.setHeader('Connection', 'close');
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.statusCode = reply.status;
  if (body === undefined || typeof body === 'string') {
    const bytes = Buffer.from(body ?? '');
    if (!response.hasHeader('Content-Length') && reply.status !== 204 && reply.status !== 304)
      response.setHeader('Content-Length', bytes.length);
    const empty = message.method === 'HEAD';
    outcome.bytes = empty ? 0 : bytes.length;
    response.end(empty ? undefined : bytes);
    message.resume();
    return;
  }
  try {
    const content = body.file.createReadStream({
      start: body.start,
      end: body.end,
      autoClose: false,
      highWaterMark: readBytes,
    });
    content.on('data', (chunk) => {
      outcome.bytes += chunk.length;
    });
    await pipeline(content, response);
  } finally {
    await body.file.close();
  }
}

function logEntry(
  message: IncomingMessage,
  request: S3Request | null,
  outcome: { status: number; code: string | null; bytes: number },
  ms: number,
): S3LogEntry {
  return {
    method: message.method ?? '',
    bucket: request?.bucket ?? '',
    key: request?.key ?? '',
    query: (message.url ?? '').split('?')[1] ?? '',
    range: message.headers.range ?? null,
    ...outcome,
    ms: Math.round(ms),
  };
}
