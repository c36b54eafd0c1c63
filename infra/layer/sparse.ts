import { corrupt, exceeded } from './errors.ts';
import { parseDecimal, parseField } from './numbers.ts';
import type { PaxRecords } from './pax.ts';
import type { BlockReader } from './source.ts';

/** One piece of a sparse file that has data; what lies between pieces is a hole. Bytes. */
export interface Fragment {
  offset: number;
  length: number;
}

/** A file with holes: how large it is, and where the archived bytes belong, in order. */
export interface SparseMap {
  realSize: number;
  fragments: Fragment[];
}

/**
 * Checks what all formats promise: fragments ascend, do not overlap, lie inside the real size, and
 * their sum is what the archive holds. `layer_corrupt` otherwise.
 */
export function checkSparse(map: SparseMap, archived: number, entry: Buffer): SparseMap {
  let end = 0;
  let sum = 0;
  for (const { offset, length } of map.fragments) {
    if (offset < end || length > map.realSize - offset)
      throw corrupt('the sparse map overlaps itself or leaves the file', entry, { offset, length });
    end = offset + length;
    sum += length;
  }
  if (sum !== archived)
    throw corrupt('the sparse map and the archived bytes disagree', entry, { mapped: sum, archived });
  return map;
}

const pairBytes = 24;

/**
 * The map of GNU's old format (type S): four pairs at 386, then, while the flag at 482 or 504 is set,
 * blocks of 21 pairs that stand before the data. The real size is at 483.
 */
export function readOldGnuMap(
  header: Buffer,
  blocks: BlockReader,
  fragmentsMax: number,
  entry: Buffer,
): SparseMap {
  const realSize = safe(parseField(header, 483, 12), entry);
  const fragments: Fragment[] = [];
  collectPairs(header, 386, 4, fragments, entry);
  // The flag decides, also when the last pairs of a block are unused.
  let more = header[482] !== 0;
  while (more) {
    const block = blocks.block();
    if (block === null) throw corrupt('the sparse map is cut short', entry);
    collectPairs(block, 0, 21, fragments, entry);
    if (fragments.length > fragmentsMax) throw exceeded('sparseFragmentsMax', fragmentsMax, entry);
    more = block[504] !== 0;
  }
  return { realSize, fragments };
}

/** A pair whose first byte is NUL is unused and ends the block's list. */
function collectPairs(block: Buffer, start: number, count: number, into: Fragment[], entry: Buffer): void {
  for (let i = 0; i < count; i++) {
    const at = start + i * pairBytes;
    if (block[at] === 0) return;
    into.push({
      offset: safe(parseField(block, at, 12), entry),
      length: safe(parseField(block, at + 12, 12), entry),
    });
  }
}

/** The PAX formats: 0.0 repeats records, 0.1 has a list in one, 1.0 has the map before the data. */
export type PaxSparse =
  | { format: '0'; realSize: number; numbers: string[]; name: Buffer | null }
  | { format: '1'; realSize: number; name: Buffer | null };

/** Which sparse format the records ask for, or null when none. `layer_corrupt` when they ask unclearly. */
export function paxSparseOf(records: PaxRecords, entry: Buffer): PaxSparse | null {
  const text = (key: string) => records.values.get(key)?.toString('latin1');
  const name = records.values.get('GNU.sparse.name') ?? null;
  const major = text('GNU.sparse.major');
  const minor = text('GNU.sparse.minor');
  const list = text('GNU.sparse.map');
  if (major === '1' && minor === '0')
    return { format: '1', realSize: safe(decimal(text('GNU.sparse.realsize')), entry), name };
  if ((major ?? '0') !== '0' || !['0', '1', undefined].includes(minor))
    throw corrupt('a sparse format that does not exist', entry, { major: major ?? '', minor: minor ?? '' });
  const numbers = list === undefined ? records.sparseMap : list === '' ? [] : list.split(',');
  if (
    list === undefined &&
    numbers.length === 0 &&
    major === undefined &&
    text('GNU.sparse.size') === undefined
  )
    return null;
  const blocks = text('GNU.sparse.numblocks');
  if (blocks !== undefined && safe(decimal(blocks), entry) * 2 !== numbers.length)
    throw corrupt('the sparse map has another length than it says', entry);
  const size = text('GNU.sparse.size') ?? text('GNU.sparse.realsize');
  return { format: '0', realSize: safe(decimal(size), entry), numbers, name };
}

/** The fragments of a list of offset and length by turns. */
export function fragmentsOf(numbers: string[], fragmentsMax: number, entry: Buffer): Fragment[] {
  if (numbers.length % 2 !== 0) throw corrupt('the sparse map is cut short', entry);
  if (numbers.length / 2 > fragmentsMax) throw exceeded('sparseFragmentsMax', fragmentsMax, entry);
  const fragments: Fragment[] = [];
  for (let i = 0; i < numbers.length; i += 2)
    fragments.push({
      offset: safe(decimal(numbers[i]), entry),
      length: safe(decimal(numbers[i + 1]), entry),
    });
  return fragments;
}

/**
 * The map of format 1.0: decimal numbers, one a line, first their count, in whole blocks at the start
 * of the data. Returns the fragments and the bytes of the data that the map took.
 */
export function readMapBlocks(
  blocks: BlockReader,
  archived: number,
  fragmentsMax: number,
  entry: Buffer,
): { fragments: Fragment[]; bytes: number } {
  const numbers: string[] = [];
  let wanted = 1;
  let text = '';
  let bytes = 0;
  while (numbers.length < wanted) {
    const block = bytes + 512 <= archived ? blocks.block() : null;
    if (block === null) throw corrupt('the sparse map is cut short', entry);
    bytes += 512;
    text += block.toString('latin1');
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    if (text.length > 512) throw corrupt('the sparse map holds something that is no number', entry);
    for (const line of lines) {
      if (numbers.length === wanted) break;
      numbers.push(line);
      if (numbers.length > 1 || wanted > 1) continue;
      const count = safe(decimal(line), entry);
      if (count > fragmentsMax) throw exceeded('sparseFragmentsMax', fragmentsMax, entry);
      wanted = 1 + 2 * count;
    }
  }
  return { fragments: fragmentsOf(numbers.slice(1), fragmentsMax, entry), bytes };
}

const decimal = (text: string | undefined): number | bigint | null =>
  text === undefined ? null : parseDecimal(text);

function safe(value: number | bigint | null, entry: Buffer): number {
  if (typeof value !== 'number' || value < 0)
    throw corrupt('the sparse map holds something that is no number', entry);
  return value;
}
