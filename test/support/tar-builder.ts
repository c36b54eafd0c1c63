/**
 * Builds tar archives byte by byte, honest ones and such as no tool would write. Every field can be
 * set to raw bytes, so that a test says exactly what is wrong.
 */
export interface TarEntry {
  name?: string | Buffer;
  /** One character; default `0`. */
  type?: string;
  mode?: number | Buffer;
  uid?: number | Buffer;
  gid?: number | Buffer;
  mtime?: number | Buffer;
  link?: string | Buffer;
  data?: string | Buffer;
  /** The size field; default: of the data. */
  size?: number | bigint | Buffer;
  major?: number | Buffer;
  minor?: number | Buffer;
  prefix?: string | Buffer;
  format?: 'ustar' | 'gnu' | 'v7';
  /** PAX records to put before the entry. */
  pax?: Record<string, string | Buffer> | Buffer;
  /** Changes the finished header; the checksum is computed afterwards. */
  patch?: (header: Buffer) => void;
  /** Replaces the checksum field. */
  checksum?: Buffer;
}

/** A whole archive: the entries and two zero blocks. */
export const tar = (...entries: (TarEntry | Buffer)[]): Buffer =>
  Buffer.concat([...entries.map((entry) => (Buffer.isBuffer(entry) ? entry : block(entry))), zeroBlocks(2)]);

export const zeroBlocks = (count: number): Buffer => Buffer.alloc(512 * count);

/** One entry: its PAX header if it has one, its header, its data with padding. */
export function block(entry: TarEntry): Buffer {
  const data = bytes(entry.data ?? '');
  const before =
    entry.pax === undefined
      ? Buffer.alloc(0)
      : block({
          name: 'PaxHeader',
          type: 'x',
          data: Buffer.isBuffer(entry.pax) ? entry.pax : pax(entry.pax),
        });
  return Buffer.concat([before, header(entry, data.length), pad(data)]);
}

export function header(entry: TarEntry, dataLength = 0): Buffer {
  const out = Buffer.alloc(512);
  const type = entry.type ?? '0';
  const format = entry.format ?? 'ustar';
  bytes(entry.name ?? 'file').copy(out, 0, 0, 100);
  number(out, 100, 8, entry.mode ?? (type === '5' ? 0o755 : 0o644));
  number(out, 108, 8, entry.uid ?? 0);
  number(out, 116, 8, entry.gid ?? 0);
  number(out, 124, 12, entry.size ?? dataLength);
  number(out, 136, 12, entry.mtime ?? 1_700_000_000);
  out.write(type, 156, 'latin1');
  bytes(entry.link ?? '').copy(out, 157, 0, 100);
  if (format !== 'v7') {
    out.write(format === 'gnu' ? 'ustar  \0' : 'ustar\x0000', 257, 'latin1');
    if (entry.major !== undefined || type === '3' || type === '4') {
      number(out, 329, 8, entry.major ?? 0);
      number(out, 337, 8, entry.minor ?? 0);
    }
    if (format === 'ustar') bytes(entry.prefix ?? '').copy(out, 345, 0, 155);
  }
  entry.patch?.(out);
  out.fill(' ', 148, 156);
  const sum = out.reduce((total, byte) => total + byte, 0);
  (entry.checksum ?? Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `)).copy(out, 148);
  return out;
}

function number(out: Buffer, start: number, length: number, value: number | bigint | Buffer): void {
  if (Buffer.isBuffer(value)) value.copy(out, start, 0, length);
  else if (value >= 0 && BigInt(value) < 1n << BigInt(3 * (length - 1)))
    out.write(value.toString(8).padStart(length - 1, '0'), start, 'latin1');
  else base256(length, BigInt(value)).copy(out, start);
}

/** A number as GNU tar stores what does not fit: two's complement, big-endian, bit 7 of the first byte set. */
export function base256(length: number, value: bigint): Buffer {
  const out = Buffer.alloc(length);
  let rest = BigInt.asUintN(8 * length, value);
  for (let i = length - 1; i >= 0; i--) {
    out[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  out[0] = value < 0n ? 0xff : (out[0] ?? 0) | 0x80;
  return out;
}

/** Records of a PAX header, `length key=value\n` each. */
export const pax = (records: Record<string, string | Buffer>): Buffer =>
  Buffer.concat(Object.entries(records).map(([key, value]) => paxRecord(key, value)));

export function paxRecord(key: string, value: string | Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, 'latin1'), bytes(value), Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length > length) length++;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** A GNU long name (`L`) or long link (`K`) that stands before an entry. */
export const gnuLong = (type: 'L' | 'K', name: string | Buffer): Buffer =>
  block({ name: '././@LongLink', type, format: 'gnu', data: Buffer.concat([bytes(name), Buffer.from([0])]) });

const bytes = (value: string | Buffer): Buffer => (typeof value === 'string' ? Buffer.from(value) : value);
const pad = (data: Buffer): Buffer => Buffer.concat([data, Buffer.alloc((512 - (data.length % 512)) % 512)]);

/** Shorthands for honest entries. */
export const file = (name: string, data = name, more: TarEntry = {}): TarEntry => ({ name, data, ...more });
export const dir = (name: string, more: TarEntry = {}): TarEntry => ({
  name: `${name}/`,
  type: '5',
  ...more,
});
export const symlink = (name: string, link: string, more: TarEntry = {}): TarEntry => ({
  name,
  type: '2',
  link,
  mode: 0o777,
  ...more,
});
export const hardlink = (name: string, link: string, more: TarEntry = {}): TarEntry => ({
  name,
  type: '1',
  link,
  ...more,
});
/** A whiteout of `name` in its directory. */
export function whiteout(path: string): TarEntry {
  const at = path.lastIndexOf('/') + 1;
  return { name: `${path.slice(0, at)}.wh.${path.slice(at)}`, mode: 0 };
}
export const opaque = (directory: string): TarEntry => ({
  name: `${directory === '' ? '' : `${directory}/`}.wh..wh..opq`,
  mode: 0,
});
