import { corrupt } from './errors.ts';

/** What a PAX extended header says, by key. Values are bytes: names and xattrs may hold anything. */
export interface PaxRecords {
  values: Map<string, Buffer>;
  /** The map of GNU sparse format 0.0, whose records repeat: offset, length, offset, length... */
  sparseMap: string[];
}

const sparseOffset = 'GNU.sparse.offset';
const sparseLength = 'GNU.sparse.numbytes';
const textKeys: readonly string[] = ['path', 'linkpath', 'uname', 'gname'];

/**
 * The records `length key=value\n` of a PAX header body, by their length and never by lines: a value
 * may hold newlines, NULs and equals signs. Rules as Go's archive/tar; what breaks one is
 * `layer_corrupt`, because readers that skip it see another archive. The last of equal keys wins.
 */
export function parsePax(body: Buffer, entry: Buffer | null): PaxRecords {
  const records: PaxRecords = { values: new Map(), sparseMap: [] };
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    const digits = space === -1 ? '' : body.toString('latin1', at, Math.min(space, at + 20));
    const length = /^[0-9]{1,9}$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    if (length < 5 || end > body.length || end - 1 <= space || body[end - 1] !== 0x0a)
      throw corrupt('a PAX record has a wrong length', entry, { at });
    const equals = body.indexOf(0x3d, space + 1);
    if (equals === -1 || equals >= end - 1 || equals === space + 1)
      throw corrupt('a PAX record without a key', entry, { at });
    add(
      records,
      body.toString('latin1', space + 1, equals),
      Buffer.from(body.subarray(equals + 1, end - 1)),
      entry,
    );
    at = end;
  }
  if (records.sparseMap.length % 2 !== 0) throw corrupt('a sparse map in PAX records is cut short', entry);
  return records;
}

function add(records: PaxRecords, key: string, value: Buffer, entry: Buffer | null): void {
  const text = textKeys.includes(key);
  if (key.includes('\0') || (text && value.includes(0)))
    throw corrupt('a PAX record with a NUL where none may be', entry, { key });
  if (key === sparseOffset || key === sparseLength) {
    const expected = records.sparseMap.length % 2 === 0 ? sparseOffset : sparseLength;
    if (key !== expected) throw corrupt('the records of a sparse map are out of order', entry);
    records.sparseMap.push(value.toString('latin1'));
    return;
  }
  records.values.set(key, value);
}

export interface Xattr {
  name: Buffer;
  value: Buffer;
}

const schily = 'SCHILY.xattr.';
const libarchive = 'LIBARCHIVE.xattr.';

/**
 * The extended attributes among the records: `SCHILY.xattr.<name>` with raw bytes, and, where that
 * form is absent, bsdtar's `LIBARCHIVE.xattr.<name, URL-encoded>` with base64.
 */
export function xattrsOf(records: PaxRecords, entry: Buffer | null): Xattr[] {
  const found = new Map<string, Xattr>();
  for (const [key, value] of records.values) {
    if (!key.startsWith(schily)) continue;
    const name = key.slice(schily.length);
    if (name === '') throw corrupt('an xattr without a name', entry);
    found.set(name, { name: Buffer.from(name, 'latin1'), value });
  }
  for (const [key, value] of records.values) {
    if (!key.startsWith(libarchive)) continue;
    const name = unescapeUrl(key.slice(libarchive.length));
    const bytes = parseBase64(value.toString('latin1'));
    if (name === null || name === '' || name.includes('\0') || bytes === null)
      throw corrupt('an xattr of bsdtar that cannot be decoded', entry, { key });
    if (!found.has(name)) found.set(name, { name: Buffer.from(name, 'latin1'), value: bytes });
  }
  return [...found.values()];
}

function unescapeUrl(text: string): string | null {
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return null;
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** Base64 with or without padding; bsdtar writes none. Null for anything else. */
function parseBase64(text: string): Buffer | null {
  const bare = text.replace(/=+$/, '');
  if (!/^[A-Za-z0-9+/]*$/.test(bare) || bare.length % 4 === 1) return null;
  return Buffer.from(bare, 'base64');
}
