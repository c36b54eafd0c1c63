import { createReadStream, createWriteStream, statSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createGzip, createZstdCompress } from 'node:zlib';
import { Header, type HeaderData, Pax } from 'tar';

/** One entry of a layer. Names are as an image has them: no `/` in front. */
export type Entry =
  | { type: 'folder'; path: string; mode?: number }
  | { type: 'file'; path: string; content: string | { of: string }; mode?: number }
  | { type: 'symlink'; path: string; to: string }
  /** Another name of a file that stands before it in the same layer. */
  | { type: 'link'; path: string; to: string }
  /** Removes the name from the layers below. */
  | { type: 'whiteout'; path: string }
  /** The folder starts empty, whatever the layers below have in it. */
  | { type: 'opaque'; path: string };

export interface Layer {
  /** Its object is named so; layers apply in the order of the names. */
  name: string;
  entries: readonly Entry[];
}

const blockBytes = 512;
/** The same each time, so that a layer that is built again has the same digest. */
const time = new Date('2026-01-01T00:00:00.123Z');

/**
 * Writes a layer as a tar of the OCI image specification. The end of its name says how it is
 * compressed: `.tar`, `.tar.gz` or `.tar.zst`.
 */
export async function writeLayer(path: string, { entries }: Layer): Promise<void> {
  const archive = Readable.from(chunksOf(entries), { objectMode: false });
  const file = createWriteStream(path);
  if (path.endsWith('.gz')) await pipeline(archive, createGzip({ level: constants.Z_BEST_SPEED }), file);
  else if (path.endsWith('.zst')) await pipeline(archive, createZstdCompress(), file);
  else await pipeline(archive, file);
}

async function* chunksOf(entries: readonly Entry[]): AsyncGenerator<Buffer> {
  for (const entry of entries) yield* chunksOfEntry(entry);
  yield Buffer.alloc(2 * blockBytes);
}

async function* chunksOfEntry(entry: Entry): AsyncGenerator<Buffer> {
  const body = bodyOf(entry);
  yield headersOf({ ...headerOf(entry), size: body.bytes });
  for await (const chunk of body.chunks()) yield chunk as Buffer;
  yield Buffer.alloc((blockBytes - (body.bytes % blockBytes)) % blockBytes);
}

function headerOf(entry: Entry): HeaderData {
  switch (entry.type) {
    case 'folder':
      return { type: 'Directory', path: `${entry.path}/`, mode: entry.mode ?? 0o755 };
    case 'file':
      return { type: 'File', path: entry.path, mode: entry.mode ?? 0o644 };
    case 'symlink':
      return { type: 'SymbolicLink', path: entry.path, linkpath: entry.to, mode: 0o777 };
    case 'link':
      return { type: 'Link', path: entry.path, linkpath: entry.to, mode: 0o644 };
    case 'whiteout':
      return { type: 'File', path: entry.path.replace(/([^/]+)$/, '.wh.$1'), mode: 0o644 };
    case 'opaque':
      return { type: 'File', path: `${entry.path}/.wh..wh..opq`, mode: 0o644 };
  }
}

interface Body {
  bytes: number;
  chunks(): Iterable<Buffer> | AsyncIterable<Buffer>;
}

function bodyOf(entry: Entry): Body {
  if (entry.type !== 'file') return { bytes: 0, chunks: () => [] };
  const { content } = entry;
  if (typeof content === 'string') {
    const bytes = Buffer.from(content);
    return { bytes: bytes.length, chunks: () => [bytes] };
  }
  return { bytes: statSync(content.of).size, chunks: () => createReadStream(content.of) };
}

/** A ustar header; before it, where times or names do not fit in that, a PAX header that has them whole. */
function headersOf(data: HeaderData): Buffer {
  const whole = { uid: 0, gid: 0, uname: 'root', gname: 'root', mtime: time, ...data };
  const header = new Header(whole);
  header.encode();
  const pax = new Pax({
    path: whole.path ?? '',
    mtime: time,
    ...(whole.linkpath === undefined ? {} : { linkpath: whole.linkpath }),
  });
  if (header.block === undefined) throw new Error(`no header for ${whole.path}`);
  return Buffer.concat([pax.encode(), header.block]);
}
