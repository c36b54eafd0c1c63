import type { Stat } from '../sys.ts';
import { S3Error } from './errors.ts';
import type { Tree } from './tree.ts';

export interface ListingQuery {
  bucket: string;
  prefix: string;
  /** Empty for none. */
  delimiter: string;
  /** Only keys behind this one, by bytes. */
  after: string;
  /** A common prefix that was given out already: nothing below it again. Empty for none. */
  done: string;
  max: number;
}

export interface Listing {
  contents: { key: string; stat: Stat }[];
  commonPrefixes: string[];
  /** Where the next page goes on, or null when this was the last. */
  next: { after: string; done: string } | null;
}

type Found = { key: string; stat: Stat } | { commonPrefix: string };

/** One page of keys in the order of their bytes, those with `delimiter` behind the prefix rolled up. */
export function listKeys(tree: Tree, query: ListingQuery): Listing {
  const listing: Listing = { contents: [], commonPrefixes: [], next: null };
  let last = { after: query.after, done: query.done };
  let count = 0;
  for (const found of roll(walk(tree, query, ''), query)) {
    if (count === query.max) return { ...listing, next: query.max === 0 ? null : last };
    count += 1;
    if ('commonPrefix' in found) {
      listing.commonPrefixes.push(found.commonPrefix);
      last = { after: found.commonPrefix, done: found.commonPrefix };
    } else {
      listing.contents.push(found);
      last = { after: found.key, done: '' };
    }
  }
  return listing;
}

/** Rolls up what has the delimiter behind the prefix, once for each common prefix. */
function* roll(items: Iterable<Found>, { prefix, delimiter, done }: ListingQuery): Generator<Found, void> {
  let current = done;
  for (const item of items) {
    const commonPrefix =
      'commonPrefix' in item ? item.commonPrefix : commonPrefixOf(item.key, prefix, delimiter);
    if (commonPrefix === null) yield item;
    else if (commonPrefix !== current) yield { commonPrefix };
    current = commonPrefix ?? current;
  }
}

function commonPrefixOf(key: string, prefix: string, delimiter: string): string | null {
  const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
  return at === -1 ? null : key.slice(0, at + delimiter.length);
}

/**
 * The keys below a folder of the bucket, in order, folders that cannot matter left out. With the
 * delimiter `/` a folder behind the prefix is not walked but given as the common prefix that it is.
 */
function* walk(tree: Tree, query: ListingQuery, folder: string): Generator<Found, void> {
  const { bucket, prefix, after, delimiter, done } = query;
  const path = folder === '' ? bucket : `${bucket}/${folder.slice(0, -1)}`;
  for (const { name, kind } of tree.entries(path)) {
    const key = folder + name;
    if (kind === 'file') {
      if (!key.startsWith(prefix) || compareKeys(key, after) <= 0) continue;
      const stat = tree.stat(`${bucket}/${key}`);
      if (stat !== null) yield { key, stat };
      continue;
    }
    const below = `${key}/`;
    if (!below.startsWith(prefix) && !prefix.startsWith(below)) continue;
    if (compareKeys(below, after) < 0 && !after.startsWith(below)) continue;
    if (done !== '' && below.startsWith(done)) continue;
    const rolledUp = delimiter === '/' && below.length > prefix.length && below.startsWith(prefix);
    if (!rolledUp) yield* walk(tree, query, below);
    else if (!walk(tree, { ...query, delimiter: '' }, below).next().done) yield { commonPrefix: below };
  }
}

const compareKeys = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** A continuation token: opaque to clients. */
export const writeToken = (next: { after: string; done: string }): string =>
  Buffer.from(JSON.stringify([next.after, next.done])).toString('base64url');

export function readToken(token: string): { after: string; done: string } {
  try {
    const [after, done] = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
    if (typeof after === 'string' && typeof done === 'string') return { after, done };
  } catch {
    // refused below, as any other token that is not ours
  }
  throw new S3Error('InvalidArgument', 'The continuation token provided is incorrect');
}
