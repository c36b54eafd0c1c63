import { type Digest, parseDigest } from './ids.ts';

/**
 * Names of files and rows of blobs, by the hundred thousand: in two pieces of memory that are compared in
 * place, because strings and maps of so many cost ten times what it takes to read them.
 */

/** A blob's file has the hex digits of its digest for a name. */
export const nameBytes = 64;

/** A row of the blob table as bytes: the name, and its size in 16 decimal digits. */
export const recordBytes = nameBytes + 16;

/** In the place of a size: the row is being removed. */
export const removingText = '-'.repeat(16);

export interface Matched {
  /** For each record the number of its name; -1 where there is no such name. */
  places: Int32Array;
  /** Digests that are names and that no record has. */
  strangers: { place: number; digest: Digest }[];
}

/**
 * Which records and which names belong together, by a hash table of the names. A record is `bytesEach` long
 * and begins with its name: whole ones, or the names alone.
 */
export function matchRecords(names: Uint8Array, records: Uint8Array, bytesEach = recordBytes): Matched {
  const [nameWords, recordWords] = [wordsOf(names), wordsOf(records)];
  const [count, rows] = [names.length / nameBytes, records.length / bytesEach];
  const recordStride = bytesEach / wordBytes;
  // At least half of it stays empty, so that a search is short.
  const mask = 2 ** Math.ceil(Math.log2(count * 2 + 1)) - 1;
  const slots = new Int32Array(mask + 1);
  for (let place = 0; place < count; place++) {
    let slot = hashAt(nameWords, place * nameStride) & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    slots[slot] = place + 1;
  }
  const places = new Int32Array(rows).fill(-1);
  const known = new Uint8Array(count);
  for (let row = 0; row < rows; row++) {
    const at = row * recordStride;
    for (let slot = hashAt(recordWords, at) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const place = (slots[slot] ?? 0) - 1;
      if (!isSame(nameWords, place * nameStride, recordWords, at)) continue;
      places[row] = place;
      known[place] = 1;
      break;
    }
  }
  const strangers: Matched['strangers'] = [];
  for (let place = known.indexOf(0); place >= 0; place = known.indexOf(0, place + 1)) {
    const digest = parseDigest(`sha256:${nameAt(names, place * nameBytes)}`);
    if (digest !== null) strangers.push({ place, digest });
  }
  return { places, strangers };
}

const wordBytes = 4;
const nameStride = nameBytes / wordBytes;

/** Bytes that do not begin at a word are copied to where they do. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset, length } = bytes.byteOffset % wordBytes === 0 ? bytes : new Uint8Array(bytes);
  return new Uint32Array(buffer, byteOffset, length / wordBytes);
}

/** Eight hex digits of a sha256 are as good as random; the factors are odd and have their bits far apart. */
function hashAt(words: Uint32Array, at: number): number {
  const mixed = Math.imul(words[at] ?? 0, 0x9e37_79b1) ^ Math.imul(words[at + 1] ?? 0, 0x85eb_ca77);
  return mixed ^ (mixed >>> 15);
}

/** Four words at a time: most of it runs before V8 has compiled it. */
function isSame(a: Uint32Array, atA: number, b: Uint32Array, atB: number): boolean {
  for (let word = 0; word < nameStride; word += 4) {
    const i = atA + word;
    const j = atB + word;
    if (a[i] !== b[j] || a[i + 1] !== b[j + 1] || a[i + 2] !== b[j + 2] || a[i + 3] !== b[j + 3])
      return false;
  }
  return true;
}

const nameAt = (bytes: Uint8Array, start: number): string =>
  String.fromCharCode(...bytes.subarray(start, start + nameBytes));

export interface Differences {
  /** Bytes of the files that are not as their record says, or that have none. */
  files: Map<Digest, number>;
  /** Bytes that a file should have, where it has others or is missing; null of one that is being removed. */
  rows: Map<Digest, number | null>;
}

/**
 * What is wrong between files and records. `sizes`: bytes of the file of each name, -1 where there is none.
 * What agrees is in neither map.
 */
export function differences(names: Uint8Array, sizes: Float64Array, records: Uint8Array): Differences {
  const { places, strangers } = matchRecords(names, records);
  const found: Differences = { files: new Map(), rows: new Map() };
  for (const { place, digest } of strangers) {
    const size = sizes[place] ?? -1;
    if (size >= 0) found.files.set(digest, size);
  }
  places.forEach((place, row) => {
    const at = row * recordBytes;
    const wanted = sizeAt(records, at + nameBytes);
    const size = place < 0 ? -1 : (sizes[place] ?? -1);
    if (size >= 0 && size === wanted) return;
    const digest = `sha256:${nameAt(records, at)}` as Digest;
    if (size >= 0) found.files.set(digest, size);
    found.rows.set(digest, wanted);
  });
  return found;
}

/** Decimal digits; null for `removingText`. */
function sizeAt(records: Uint8Array, start: number): number | null {
  let size = 0;
  for (let at = start; at < start + recordBytes - nameBytes; at++) {
    const digit = (records[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) return null;
    size = size * 10 + digit;
  }
  return size;
}
