import type { Database } from 'better-sqlite3';
import { nameBytes, recordBytes, removingText } from '#core/blob-files';

/** To be added to a size: its digits after the first are the size's, with zeros before them. */
const digits = `1${'0'.repeat(recordBytes - nameBytes)}`;

/**
 * All rows of blobs as records of `core/blob-files.ts`, put together by SQLite itself: a value for JavaScript
 * for each row would take three times as long.
 */
export const blobRecords = (db: Database): Buffer =>
  together(
    db,
    recordBytes,
    `substr(digest, 8) || CASE state WHEN 'whole' THEN substr(${digits} + size, 2) ELSE '${removingText}' END`,
  );

/** The names alone: an index has them, a third of what all rows are. */
export const blobNames = (db: Database): Buffer => together(db, nameBytes, 'substr(digest, 8)');

function together(db: Database, bytesEach: number, text: string): Buffer {
  const all = db
    .prepare<[], Buffer | null>(`SELECT CAST(group_concat(${text}, '') AS BLOB) FROM blobs`)
    .pluck()
    .get();
  if (all === undefined || all === null) return Buffer.alloc(0);
  if (all.length % bytesEach !== 0) throw new Error('a row of blobs has a digest that is none');
  return all;
}
