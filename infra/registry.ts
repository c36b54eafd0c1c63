import { createHash } from 'node:crypto';
import { FlydError, unrecoverable } from '#core/errors';
import { type Digest, digestOfHex } from '#core/ids';
import type { Limits } from '#core/limits';
import { type RegistrySource, sourceText } from '#core/source';
import type { Registry } from './image-sources.ts';
import { guardedBody, type Pace, smallBody } from './net/body.ts';
import type { Wire, WireAnswer, WireOptions } from './net/wire.ts';
import type { ObjectRange, RangeRequest, Waiting } from './object-source.ts';
import { indexTypes, manifestTypes } from './oci/documents.ts';
import type { Document, ImageRepository } from './oci/repository.ts';
import { createAsk, type Question } from './registry/ask.ts';
import { createAuth } from './registry/auth.ts';
import type { FindCredentials } from './registry/credentials.ts';
import { type Asked, judgeOf, protocolError } from './registry/failures.ts';
import { listTags } from './registry/tags.ts';

export interface RegistryOptions {
  credentials: FindCredentials;
  /** `host` or `host:port` that answers may lead to, whatever their address. */
  allowHosts?: readonly string[];
  /** Milliseconds for a connection, and without one byte of an answer. */
  connectMs?: number;
  stallMs?: number;
  /** The slowest that an answer may come. Default: however slow. */
  pace?: Pace;
  limits: Limits;
  /** Default: a client of its own. */
  wire?: Wire;
  now?: () => number;
}

/** A client that is made when it is first used: Node's HTTP takes 30 ms to load, which few commands need. */
function lateWire(options: WireOptions): Wire {
  let made: Promise<Wire> | null = null;
  return {
    async send(request) {
      made ??= import('./net/wire.ts').then(({ createWire }) => createWire(options));
      return (await made).send(request);
    },
    close() {
      made?.then((wire) => wire.close()).catch(() => undefined);
    },
  };
}

/** OCI registries as a source (distribution-spec, "Pull"). Nothing is retried: the engine does. */
export function createRegistry(options: RegistryOptions): Registry & { close(): void } {
  const {
    credentials,
    allowHosts = [],
    connectMs = 10_000,
    stallMs = 15_000,
    pace,
    limits,
    now = Date.now,
  } = options;
  const wire = options.wire ?? lateWire({ connectMs, stallMs });
  const auth = createAuth({ wire, credentials, allowHosts, stallMs, now });
  const ask = createAsk({ wire, auth, allowHosts, stallMs });

  const question = (
    asked: Asked,
    kind: string,
    headers: Record<string, string>,
    { signal }: Waiting,
  ): Question => ({
    ...asked,
    path: `/v2/${asked.source.repository}/${kind}/${asked.name}`,
    headers,
    signal,
  });

  async function small(asked: Question): Promise<{ answer: WireAnswer; bytes: Buffer }> {
    const answer = await ask(asked);
    const told = Number(answer.headers['content-length'] ?? 0);
    const max = limits.manifestBytesMax;
    if (told > max) {
      answer.body.destroy();
      throw unrecoverable('limit_exceeded', `a document of the image has more than ${max} bytes`, {
        subject: sourceText(asked.source),
      });
    }
    const bytes = await smallBody(answer.body, max, {
      judge: judgeOf(asked),
      idleMs: stallMs,
      pace,
      signal: asked.signal,
    });
    return { answer, bytes };
  }

  async function manifest(source: RegistrySource, name: string, waiting: Waiting): Promise<Document> {
    const asked: Asked = { source, what: 'manifest', name };
    const accept = [...manifestTypes, ...indexTypes].join(', ');
    const { answer, bytes } = await small(question(asked, 'manifests', { accept }, waiting));
    // The header is optional; where it is there and says something else, somebody changed one of the two.
    const told = answer.headers['docker-content-digest'];
    if (typeof told === 'string' && told.startsWith('sha256:') && told !== digestOf(bytes))
      throw unrecoverable(
        'digest_mismatch',
        `the registry says the document is ${told}, it is ${digestOf(bytes)}`,
        {
          subject: sourceText(source),
          hint: 'the registry is broken or lies: nothing of this image was kept',
        },
      );
    return { bytes, mediaType: (answer.headers['content-type'] ?? '').split(';')[0]?.trim() ?? '' };
  }

  async function tagged(source: RegistrySource, tag: string, waiting: Waiting): Promise<Document> {
    try {
      return await manifest(source, tag, waiting);
    } catch (error) {
      if (!(error instanceof FlydError) || error.code !== 'reference_not_found') throw error;
      const tags = await listTags(ask, source, { stallMs, signal: waiting.signal }).catch(() => []);
      waiting.signal?.throwIfAborted();
      if (tags.length === 0) throw error;
      throw unrecoverable('reference_not_found', `the repository has no tag ${tag}`, {
        subject: sourceText(source),
        hint: `it has ${tags.slice(-20).join(', ')}`,
        cause: error,
      });
    }
  }

  const repository = (source: RegistrySource): ImageRepository => ({
    subject: sourceText(source),
    tagged: (tag, waiting) => tagged(source, tag ?? 'latest', waiting),
    document: (digest, waiting) => manifest(source, digest, waiting),
    async blob({ digest }, waiting) {
      const asked: Asked = { source, what: 'blob', name: digest };
      return (await small(question(asked, 'blobs', {}, waiting))).bytes;
    },
    keyOf: (digest) => digest,
  });

  async function openRange(
    source: RegistrySource,
    { key, start }: RangeRequest,
    waiting: Waiting = {},
  ): Promise<ObjectRange> {
    const asked: Asked = { source, what: 'blob', name: key };
    const headers: Record<string, string> = start > 0 ? { range: `bytes=${start}-` } : {};
    const answer = await ask(question(asked, 'blobs', headers, waiting));
    try {
      const { size, from } = rangeOf(asked, answer, start);
      const guard = { judge: judgeOf(asked), idleMs: stallMs, pace, signal: waiting.signal };
      return { etag: '', size, start: from, body: guardedBody(answer.body, guard) };
    } catch (error) {
      answer.body.destroy();
      throw error;
    }
  }

  return { repository, openRange, close: () => wire.close() };
}

/** Size and first byte that an answer to `Range: bytes=start-` has; one without a range begins at 0 (RFC 9110 14). */
function rangeOf(
  asked: Asked,
  { status, headers }: WireAnswer,
  start: number,
): { size: number | null; from: number } {
  const length = headers['content-length'] === undefined ? null : Number(headers['content-length']);
  if (status === 200) return { size: length, from: 0 };
  const match = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16})$/.exec(headers['content-range'] ?? '');
  const [from, to, total] = (match ?? []).slice(1).map(Number);
  if (from === undefined || to === undefined || total === undefined || from !== start || to !== total - 1)
    throw protocolError(
      asked,
      `asked for the bytes from ${start} on, got ${headers['content-range'] ?? 'none'}`,
    );
  if (length !== null && length !== total - start)
    throw protocolError(asked, 'Content-Length and Content-Range of the answer differ');
  return { size: total, from };
}

const digestOf = (bytes: Buffer): Digest => digestOfHex(createHash('sha256').update(bytes).digest('hex'));
