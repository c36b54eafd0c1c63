import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

/** Files of a layer: how many, how large, and what their names begin with. */
export interface Content {
  files: number;
  /** Bytes of each; they do not compress. */
  bytes: number;
  name: string;
}

const filesAFolder = 1_000;
const block = 512;
const noise = randomBytes(1024 * 1024);

/** Writes a layer as gzip at its fastest: what it costs to make is not measured. */
export async function writeLayer(path: string, content: Content): Promise<void> {
  await pipeline(Readable.from(tarOf(content)), createGzip({ level: 1 }), createWriteStream(path));
}

function* tarOf({ files, bytes, name }: Content): Iterable<Buffer> {
  for (let n = 0; n < files; n++) {
    const folder = `${name}${Math.floor(n / filesAFolder)}`;
    if (n % filesAFolder === 0) yield header(`${folder}/`, '5', 0o755, 0);
    yield header(`${folder}/file-${n}`, '0', 0o644, bytes);
    for (let left = bytes; left > 0; left -= noise.length)
      yield noise.subarray(0, Math.min(left, noise.length));
    yield Buffer.alloc((block - (bytes % block)) % block);
  }
  yield Buffer.alloc(2 * block);
}

/** A ustar header (POSIX.1-2017, pax, "ustar Interchange Format"). */
function header(name: string, type: string, mode: number, size: number): Buffer {
  const bytes = Buffer.alloc(block);
  const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, '0')}\0`;
  const fields: [number, string][] = [
    [0, name],
    [100, octal(mode, 8)],
    [108, octal(0, 8)],
    [116, octal(0, 8)],
    [124, octal(size, 12)],
    [136, octal(1_700_000_000, 12)],
    [148, ' '.repeat(8)],
    [156, type],
    [257, 'ustar\x0000'],
  ];
  for (const [at, text] of fields) bytes.write(text, at, 'latin1');
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}
