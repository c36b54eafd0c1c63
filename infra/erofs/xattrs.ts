import { alignUp, xattrEntryBytes, xattrHeaderBytes, xattrPrefixes } from './format.ts';

export interface Xattr {
  name: Buffer;
  value: Buffer;
}

/** Name and value bounds of the format: a byte and two. */
const suffixBytesMax = 255;
const valueBytesMax = 0xffff;

/** Whether EROFS can hold an xattr of this name and value. */
export function holdsXattr({ name, value }: Xattr): boolean {
  const split = splitName(name);
  return split !== null && split.suffix.length <= suffixBytesMax && value.length <= valueBytesMax;
}

const nothing = Buffer.alloc(0);

/** The xattrs of one inode as stored behind it; empty for none. Each must be one that `holdsXattr`. */
export function encodeXattrs(xattrs: readonly Xattr[]): Buffer {
  if (xattrs.length === 0) return nothing;
  const pieces: Uint8Array[] = [Buffer.alloc(xattrHeaderBytes)]; // no name filter, none that are shared
  for (const { name, value } of xattrs) {
    const split = splitName(name);
    if (split === null) throw new TypeError(`no room for xattr ${name.toString('latin1')}`);
    const head = Buffer.alloc(xattrEntryBytes);
    head.writeUInt8(split.suffix.length, 0);
    head.writeUInt8(split.index, 1);
    head.writeUInt16LE(value.length, 2);
    const bytes = xattrEntryBytes + split.suffix.length + value.length;
    pieces.push(head, split.suffix, value, Buffer.alloc(alignUp(bytes, 4) - bytes));
  }
  return Buffer.concat(pieces);
}

/** `i_xattr_icount` for so many bytes of xattrs: the header counts as one, each four bytes more as another. */
export const xattrCount = (bytes: number): number => (bytes === 0 ? 0 : (bytes - xattrHeaderBytes) / 4 + 1);
export const xattrBytes = (count: number): number => (count === 0 ? 0 : xattrHeaderBytes + (count - 1) * 4);

/** What `encodeXattrs` stored. */
export function decodeXattrs(bytes: Buffer): Xattr[] {
  const xattrs: Xattr[] = [];
  for (let at = xattrHeaderBytes; at + xattrEntryBytes <= bytes.length; ) {
    const suffixBytes = bytes.readUInt8(at);
    const index = bytes.readUInt8(at + 1);
    const valueBytes = bytes.readUInt16LE(at + 2);
    const suffix = bytes.subarray(at + xattrEntryBytes, at + xattrEntryBytes + suffixBytes);
    const valueAt = at + xattrEntryBytes + suffixBytes;
    const prefix = xattrPrefixes.find(([known]) => known === index)?.[1] ?? '';
    xattrs.push({
      name: Buffer.concat([Buffer.from(prefix), suffix]),
      value: Buffer.from(bytes.subarray(valueAt, valueAt + valueBytes)),
    });
    at = alignUp(valueAt + valueBytes, 4);
  }
  return xattrs;
}

function splitName(name: Buffer): { index: number; suffix: Buffer } | null {
  const text = name.toString('latin1');
  for (const [index, prefix] of xattrPrefixes)
    if (prefix.endsWith('.') ? text.startsWith(prefix) && text !== prefix : text === prefix)
      return { index, suffix: name.subarray(prefix.length) };
  return null;
}
