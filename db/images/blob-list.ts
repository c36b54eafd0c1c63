import type { Database } from 'better-sqlite3';
import type { BlobFacts } from './blobs.ts';

export interface BlobView extends BlobFacts {
  state: 'whole' | 'removing';
  /** How many layers of complete images it is. */
  references: number;
  createdAt: number;
  usedAt: number;
}

/** A blob as an array, because an object for each of a hundred thousand rows costs half as much again. */
export type BlobCells = [
  digest: string,
  size: number,
  rawSize: number,
  mediaType: string,
  usedAt: number,
  references: number,
];

/** What a table shows of all blobs, in the order in which they came. */
export function* listBlobCells(db: Database): Iterable<BlobCells> {
  const rows = db.prepare<[], BlobCells>(
    'SELECT digest, size, raw_size, media_type, used_at, 1 FROM blobs ORDER BY rowid',
  );
  const other = unusualReferences(db);
  for (const cells of rows.raw().iterate()) {
    if (other.size > 0) cells[5] = other.get(cells[0]) ?? 1;
    yield cells;
  }
}

/**
 * All blobs, in the order in which they came; one after the other, because to hold a hundred thousand costs
 * more than to read them.
 */
export function* listBlobs(db: Database): Iterable<BlobView> {
  const rows = db.prepare<[], BlobView>(`
    SELECT digest, size, diff_id AS diffId, raw_size AS rawSize, media_type AS mediaType, state,
      1 AS "references", created_at AS createdAt, used_at AS usedAt
    FROM blobs ORDER BY rowid`);
  const other = unusualReferences(db);
  for (const blob of rows.iterate()) {
    if (other.size > 0) blob.references = other.get(blob.digest) ?? 1;
    yield blob;
  }
}

/**
 * How many layers a blob is, of those that are not exactly one. Both queries walk along two sorted indexes;
 * to count for each blob by itself would search the index as often as there are blobs.
 */
function unusualReferences(db: Database): Map<string, number> {
  const shared = db.prepare<[], [string, number]>(
    'SELECT digest, count(*) FROM image_blobs GROUP BY digest HAVING count(*) > 1',
  );
  const unused = db.prepare<[], [string, number]>(`
    SELECT digest, 0 FROM (SELECT digest FROM blobs EXCEPT SELECT digest FROM image_blobs ORDER BY digest)`);
  return new Map([...shared.raw().all(), ...unused.raw().all()]);
}
