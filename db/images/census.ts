import type { Database } from 'better-sqlite3';
import type { Census } from '#core/invariants';
import { auditRuns } from '../engine/audit.ts';
import { withRetry } from '../waiting.ts';
import { blobRecords } from './blob-records.ts';

/** All that invariants speak of; of blobs every row, to be compared with what is there (`core/blob-files.ts`). */
export type CensusTaken = Omit<Census, 'blobs'> & { blobRecords: Uint8Array };

type ActivationCells = Omit<Census['activations'][number], 'options'> & { options: string };

/**
 * As of one moment: read in one transaction, which blocks nobody. Plain statements, because to load a query
 * builder takes as long as they do.
 */
export function takeCensus(db: Database): CensusTaken {
  const all = <Row>(sql: string): Row[] => db.prepare<[], Row>(sql).all();
  const read = db.transaction(
    (): CensusTaken => ({
      images: all('SELECT id, state, driver, chain, base_lv_id AS base FROM images'),
      brokenLayers: all(brokenLayers),
      volumes: all('SELECT id, driver, device, chain, layers, parent, state FROM volumes'),
      activations: all<ActivationCells>(`
        SELECT id, image, volume, driver, device, state, options, mount_point AS mountPoint, path
        FROM activations`).map((row) => ({ ...row, options: JSON.parse(row.options) })),
      blobRecords: blobRecords(db),
      devicesUsed: all('SELECT driver, device FROM devices_used'),
      live: all('SELECT machine, key FROM runs WHERE ended_at IS NULL'),
      engineFaults: auditRuns(db),
    }),
  );
  return withRetry(db, () => read());
}

/** By two sorted indexes, walked side by side. */
const brokenLayers = `
  SELECT image, digest FROM image_blobs JOIN images ON images.id = image_blobs.image
  WHERE images.state = 'complete' AND digest IN (
    SELECT digest FROM blobs WHERE state = 'removing' UNION ALL SELECT digest FROM (
      SELECT digest FROM image_blobs EXCEPT SELECT digest FROM blobs ORDER BY digest))`;

/** Where each activation is mounted, or is to be. */
export const mountPointsOf = (db: Database): { id: string; mountPoint: string }[] =>
  withRetry(db, () =>
    db
      .prepare<[], { id: string; mountPoint: string }>(
        'SELECT id, mount_point AS mountPoint FROM activations',
      )
      .all(),
  );
