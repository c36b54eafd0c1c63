import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { ChainId, DiffId, Digest } from '#core/ids';
import type { DriverName } from '#core/image';
import { engineSet } from '#db/engine/index';
import { imageSet } from '#db/images/index';
import { openDatabase } from '#db/open';

export interface Crowd {
  images: number;
  blobs: number;
  endedRuns: number;
  activations: number;
  /** Of the images; default `copy`. */
  driver?: DriverName;
}

const sha = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;
const id = (kind: string, n: number): string => `${kind}-${n.toString(16).padStart(16, '0')}`;

/**
 * Fills a state directory that a first command has made: images of equally many layers each, a file for
 * each blob (holes of its size), a folder for each volume, and runs that have ended, with their history.
 */
export function fill(
  stateDir: string,
  mountRoot: string,
  { images, blobs, endedRuns, activations, driver = 'copy' }: Crowd,
): void {
  const db = openDatabase(join(stateDir, 'flyd.db'), [engineSet, imageSet]);
  const now = Date.now();
  const perImage = Math.floor(blobs / images);
  const insert = (table: string, columns: string) =>
    db.prepare(`INSERT INTO ${table} (${columns}) VALUES (${columns.replace(/[^,]+/g, '?')})`);
  const blob = insert('blobs', 'digest, size, diff_id, raw_size, media_type, state, created_at, used_at');
  const from = insert('blob_sources', 'endpoint, bucket, key, etag, size, digest');
  const volume = insert('volumes', 'id, driver, chain, layers, state, effect, created_at, used_at');
  const image = insert(
    'images',
    'id, family, source, driver, chain, base_lv_id, state, effect, created_at, used_at',
  );
  const link = insert(
    'image_blobs',
    'image, position, digest, key, etag, diff_id, size, raw_size, media_type',
  );
  const active = insert(
    'activations',
    'id, image, volume, driver, options, mount_point, path, rootfs, state, effect, created_at',
  );
  const source = JSON.stringify({ endpoint: null, region: 'us-east-1', bucket: 'images', prefix: '' });
  const options = JSON.stringify({
    name: null,
    sizeBytes: null,
    readOnly: false,
    suid: false,
    dev: false,
    owner: null,
    attach: 'mount',
  });
  const mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip';
  db.transaction(() => {
    for (let n = 0; n < images; n++) {
      const chain = sha(`chain ${n}`) as ChainId;
      const [imageId, volumeId] = [id('img', n), id('vol', n)];
      volume.run(volumeId, driver, chain, perImage, 'sealed', `volume ${n}`, now, now);
      image.run(imageId, `family-${n}`, source, driver, chain, volumeId, 'complete', `image ${n}`, now, now);
      mkdirSync(join(stateDir, 'volumes', driver, volumeId, 'rootfs'), { recursive: true, mode: 0o700 });
      for (let position = 0; position < perImage; position++) {
        const digest = sha(`blob ${n} ${position}`) as Digest;
        const [key, etag, size] = [
          `family-${n}/${position}.tar.gz`,
          `etag-${n}-${position}`,
          1000 + position,
        ];
        const diffId = sha(`diff ${n} ${position}`) as DiffId;
        blob.run(digest, size, diffId, size * 3, mediaType, 'whole', now, now);
        from.run('aws:us-east-1', 'images', key, etag, size, digest);
        link.run(imageId, position, digest, key, etag, diffId, size, size * 3, mediaType);
        sparse(join(stateDir, 'blobs/sha256', digest.slice('sha256:'.length)), size);
      }
    }
    for (let n = 0; n < activations; n++) {
      const act = id('act', n);
      mkdirSync(join(stateDir, 'volumes', driver, act, 'rootfs'), { recursive: true, mode: 0o700 });
      const rootfs = join(stateDir, 'volumes', driver, act, 'rootfs');
      active.run(
        ...[
          act,
          id('img', n),
          id('vol', n),
          driver,
          options,
          join(mountRoot, act),
          null,
          rootfs,
          'active',
          `act ${n}`,
          now,
        ],
      );
    }
    history(endedRuns, now);
  })();
  db.exec(`UPDATE images SET (layer_count, size, raw_size) = (
    SELECT count(*), sum(size), sum(raw_size) FROM image_blobs WHERE image = images.id)`);
  db.pragma('wal_checkpoint(TRUNCATE)');
  db.close();

  function history(count: number, at: number): void {
    insert('definitions', 'hash, machine, version, config, created_at').run('bench', 'pull', 1, '{}', at);
    const run = insert(
      'runs',
      'uid, machine, version, definition, input, status, state, snapshot, output, seq, last, created_at, updated_at, ended_at',
    );
    const step = insert('transitions', 'id, run, seq, prev, at, event, to_state, effects, definition, patch');
    const point = db.prepare('UPDATE runs SET last = ? WHERE id = ?');
    const base = (db.prepare('SELECT coalesce(max(id), 0) FROM transitions').pluck().get() as number) + 1;
    for (let n = 0, next = base; n < count; n++) {
      const snapshot = JSON.stringify({ value: 'done', context: { note: 'x'.repeat(300) } });
      const { lastInsertRowid } = run.run(
        ...[
          `BENCH-${n}`,
          'pull',
          1,
          'bench',
          '{"family":"f"}',
          'done',
          'done',
          snapshot,
          '{}',
          10,
          null,
          at,
          at,
          at,
        ],
      );
      for (let seq = 1; seq <= 10; seq++, next++)
        step.run(
          next,
          lastInsertRowid,
          seq,
          seq === 1 ? null : next - 1,
          at,
          '{"type":"x"}',
          'done',
          '[]',
          'bench',
          '[]',
        );
      point.run(next - 1, lastInsertRowid);
    }
  }
}

function sparse(path: string, size: number): void {
  const fd = openSync(path, 'w', 0o600);
  ftruncateSync(fd, size);
  closeSync(fd);
}
