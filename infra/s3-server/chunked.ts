import { createHash } from 'node:crypto';
import { S3Error } from './errors.ts';
import { chunkSignature, type Signed, sameSignature, trailerSignature } from './sigv4.ts';

export interface ChunkedOptions {
  /** Null for an anonymous request: its chunk signatures cannot be checked, and are not. */
  signed: Signed | null;
  /** Whether each chunk carries a signature. */
  signedChunks: boolean;
  /** Filled with the trailing headers, names in lower case. */
  trailers: Map<string, string>;
}

const lineBytesMax = 8 * 1024;
const trailersMax = 16;

/**
 * The content of a body in the `aws-chunked` coding ("Transferring Payload in Multiple Chunks",
 * Amazon S3 API reference): `<hex size>[;chunk-signature=<hex>]CRLF <bytes> CRLF`, a chunk of size 0,
 * trailing headers, CRLF. A chunk's signature is checked when its last byte has been given out.
 */
export async function* awsChunks(
  body: AsyncIterable<Buffer>,
  { signed, signedChunks, trailers }: ChunkedOptions,
): AsyncGenerator<Buffer, void> {
  const reader = new ByteReader(body);
  let previous = signed?.signature ?? '';
  for (;;) {
    const { size, signature } = parseChunkHeader(await reader.line(), signedChunks);
    const hash = createHash('sha256');
    for (let left = size; left > 0; ) {
      const piece = await reader.upTo(left);
      left -= piece.length;
      if (signedChunks) hash.update(piece);
      yield piece;
    }
    if (signedChunks && signed !== null) {
      const computed = chunkSignature(signed, previous, hash.digest('hex'));
      if (!sameSignature(computed, signature)) throw badSignature();
      previous = signature;
    }
    if (size === 0) break;
    if ((await reader.line()) !== '') throw malformed();
  }
  await readTrailers(reader, trailers);
  const trailerSigned = trailers.get('x-amz-trailer-signature');
  trailers.delete('x-amz-trailer-signature');
  if (!signedChunks || signed === null || trailers.size === 0) return;
  const text = [...trailers].map(([name, value]) => `${name}:${value}\n`).join('');
  if (trailerSigned === undefined || !sameSignature(trailerSignature(signed, previous, text), trailerSigned))
    throw badSignature();
}

function parseChunkHeader(line: string, signedChunks: boolean): { size: number; signature: string } {
  const match = /^([0-9a-fA-F]{1,12})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(line);
  if (match === null) throw malformed();
  if (signedChunks && match[2] === undefined) throw badSignature();
  return { size: Number.parseInt(match[1] ?? '', 16), signature: match[2] ?? '' };
}

async function readTrailers(reader: ByteReader, trailers: Map<string, string>): Promise<void> {
  for (;;) {
    const line = await reader.line(true);
    if (line === '') return;
    const colon = line.indexOf(':');
    if (colon < 1 || trailers.size >= trailersMax) throw malformed();
    trailers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
}

const malformed = () =>
  new S3Error('IncompleteBody', 'The request body terminated unexpectedly or is not aws-chunked');
const badSignature = () =>
  new S3Error(
    'SignatureDoesNotMatch',
    'The chunk signature we calculated does not match the signature you provided.',
  );

/** Lines and runs of bytes out of a stream of buffers. */
class ByteReader {
  private readonly source: AsyncIterator<Buffer>;
  private buffer: Buffer = Buffer.alloc(0);

  constructor(body: AsyncIterable<Buffer>) {
    this.source = body[Symbol.asyncIterator]();
  }

  /** The next line without its CRLF. At the end of the stream: an empty one if that is allowed. */
  async line(endAllowed = false): Promise<string> {
    for (;;) {
      const end = this.buffer.indexOf('\r\n');
      if (end !== -1) {
        const line = this.buffer.toString('latin1', 0, end);
        this.buffer = this.buffer.subarray(end + 2);
        return line;
      }
      if (this.buffer.length > lineBytesMax) throw malformed();
      if (await this.more()) continue;
      if (endAllowed && this.buffer.length === 0) return '';
      throw malformed();
    }
  }

  /** At least one and at most `bytes` bytes. */
  async upTo(bytes: number): Promise<Buffer> {
    while (this.buffer.length === 0) if (!(await this.more())) throw malformed();
    const piece = this.buffer.subarray(0, bytes);
    this.buffer = this.buffer.subarray(piece.length);
    return piece;
  }

  private async more(): Promise<boolean> {
    const next = await this.source.next();
    if (next.done === true) return false;
    this.buffer = this.buffer.length === 0 ? next.value : Buffer.concat([this.buffer, next.value]);
    return true;
  }
}
