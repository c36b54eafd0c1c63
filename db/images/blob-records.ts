import type { Database } from 'better-sqlite3';
import { recordBytes, removingText } from '#core/blob-files';

/**
 * All rows of blobs as records of `core/blob-files.ts`, put together by SQLite itself: a value for JavaScript
 * for each row would take three times as long.
 */
export function blobRecords(db: Database): Buffer {
  const records = db
    .prepare<[], Buffer | null>(`
      SELECT CAST(group_concat(
        substr(digest, 8) || CASE state WHEN 'whole' THEN format('%016d', size) ELSE '${removingText}' END, ''
      ) AS BLOB) FROM blobs`)
    .pluck()
    .get();
  if (records === undefined || records === null) return Buffer.alloc(0);
  if (records.length % recordBytes !== 0) throw new Error('a row of blobs has a digest that is none');
  return records;
}
