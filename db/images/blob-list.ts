import type { Database } from 'better-sqlite3';
import { withRetry } from '../waiting.ts';
import type { BlobFacts } from './blobs.ts';

export interface BlobView extends BlobFacts {
  state: 'whole' | 'removing';
  /** How many layers of complete images it is. */
  references: number;
  createdAt: number;
  usedAt: number;
}

/** All blobs, in the order in which they came. */
export function listBlobs(db: Database): BlobView[] {
  const rows = db.prepare<[], BlobView>(`
    SELECT digest, size, diff_id AS diffId, raw_size AS rawSize, media_type AS mediaType, state,
      1 AS "references", created_at AS createdAt, used_at AS usedAt
    FROM blobs ORDER BY rowid`);
  const references = new Map(unusualReferences(db).all());
  return rows.all().map((blob) => ({ ...blob, references: references.get(blob.digest) ?? 1 }));
}

/**
 * All blobs as a person reads them, in the order in which they came: digest, size, unpacked size, type,
 * references and last use, in columns of 71, 8, 8, 8 and 6. Each piece is the bytes of many lines, without the last line's end.
 */
export const listBlobLines = (db: Database): Iterable<Uint8Array> =>
  blocksOf(
    db,
    '\n',
    (references) => `
    format('%s  %-8s  %-8s  %-8s  %-6d  %s', digest, ${bytesOf('size')}, ${bytesOf('raw_size')},
      substr(media_type, instr(media_type, '.tar') + 1), ${references}, ${timeOf('used_at')})`,
  );

/** All blobs as JSON, in the order in which they came. Each piece is the bytes of many objects, a comma and a new line between them. */
export const listBlobsAsJson = (db: Database): Iterable<Uint8Array> =>
  blocksOf(
    db,
    ',\n  ',
    (references) => `
    format('{"digest":"%s","size":%d,"diffId":"%s","rawSize":%d,"mediaType":%s,"state":"%s",' ||
        '"references":%d,"createdAt":"%s","usedAt":"%s"}', digest, size, diff_id, raw_size,
      json_quote(media_type), state, ${references}, ${timeOf('created_at')}, ${timeOf('used_at')})`,
  );

/** SQLite puts so many together: a value for JavaScript for each takes twice as long, and one for all a lot of memory. */
const rowsTogether = 256;

/** A text for every blob, by an expression over its columns and its references; all as of one moment. */
function* blocksOf(
  db: Database,
  between: string,
  textOf: (references: string) => string,
): Generator<Uint8Array, void> {
  db.pragma('temp_store = MEMORY'); // a list is read on a full disk, too
  const unusual = withRetry(db, () => beginWith(db, () => unusualReferences(db).all()));
  try {
    let references = '1';
    if (unusual.length > 0) {
      db.exec('CREATE TEMP TABLE unusual (digest TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID');
      const insert = db.prepare<[string, number]>('INSERT INTO unusual VALUES (?, ?)');
      for (const row of unusual) insert.run(...row);
      references = 'coalesce((SELECT count FROM unusual WHERE unusual.digest = blobs.digest), 1)';
    }
    const block = db
      .prepare<[number], [number | null, Buffer | null]>(`
        SELECT max(place), CAST(group_concat(text, '${between}') AS BLOB) FROM (
          SELECT rowid AS place, ${textOf(references)} AS text
          FROM blobs WHERE rowid > ? ORDER BY rowid LIMIT ${rowsTogether})`)
      .raw();
    for (let after: number | null = Number.MIN_SAFE_INTEGER; after !== null; ) {
      const [last, text]: [number | null, Buffer | null] = block.get(after) ?? [null, null];
      if (text !== null) yield text;
      after = last;
    }
  } finally {
    db.exec('ROLLBACK'); // nothing was written but a table that has been of use
  }
}

/** Begins a transaction by its first reading, so that it can be begun anew where that meets a lock. */
function beginWith<T>(db: Database, read: () => T): T {
  db.exec('BEGIN');
  try {
    return read();
  } catch (cause) {
    db.exec('ROLLBACK');
    throw cause;
  }
}

/** `cli/output.ts` says times and sizes in these words as well; a test holds them together. */
const timeOf = (column: string): string => `strftime('%Y-%m-%dT%H:%M:%fZ', ${column} / 1000.0, 'unixepoch')`;

const units = ['KiB', 'MiB', 'GiB', 'TiB'];

/** `1.5 MiB`. */
function bytesOf(column: string): string {
  const cases = units.map((unit, power) => {
    const one = 1024 ** (power + 1);
    const next = power + 1 < units.length ? `WHEN ${column} < ${1000 * one} THEN` : 'ELSE';
    return `${next} format(iif(${column} < ${100 * one}, '%.1f ${unit}', '%.0f ${unit}'), ${column} / ${one}.0)`;
  });
  return `CASE WHEN ${column} < 1000 THEN ${column} || ' B' ${cases.join(' ')} END`;
}

/**
 * How many layers of complete images a blob is, of those that are not exactly one. Both queries walk along two
 * sorted indexes; to count for each blob by itself would search the index as often as there are blobs.
 */
const unusualReferences = (db: Database) =>
  db
    .prepare<[], [digest: string, references: number]>(`
      SELECT digest, count(*) FROM image_blobs GROUP BY digest HAVING count(*) > 1 UNION ALL
      SELECT digest, 0 FROM (SELECT digest FROM blobs EXCEPT SELECT digest FROM image_blobs ORDER BY digest)`)
    .raw();
