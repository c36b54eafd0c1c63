import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Database } from 'better-sqlite3';
import type { ChainId, DiffId, Digest } from '#core/ids';
import type { ActivationOptions, DriverName, LayerRef } from '#core/image';
import type { S3Source } from '#core/source';
import { engineSet } from '#db/engine/index';
import { type BlobFacts, createImageStore, type ImageStore, imageSet } from '#db/images/index';
import { openDatabase } from '#db/open';

/** A real database in a folder of its own, and what tests put into it. */
export interface TestStore extends ImageStore {
  folder: string;
  path: string;
  db: Database;
  /** A live run of this machine, begun at that time; gives its row id. */
  startRun(machine: string, createdAt: number): number;
  endRun(id: number): void;
  /** The parent relies on a child run. */
  linkRuns(parent: number, child: number): void;
  /** Another connection to the same file, closed with the first. */
  reopen(): { db: Database } & ImageStore;
  close(): void;
}

export function openTestStore(): TestStore {
  const folder = mkdtempSync(join(tmpdir(), 'flyd-store-'));
  const path = join(folder, 'flyd.db');
  const open: Database[] = [];
  const connect = (): Database => {
    const db = openDatabase(path, [engineSet, imageSet]);
    open.push(db);
    return db;
  };
  const db = connect();
  db.exec(
    `INSERT INTO definitions (hash, machine, version, config, created_at) VALUES ('h', 'm', 1, '{}', 0)`,
  );
  const insert = db.prepare<[string, string, number, number]>(
    `INSERT INTO runs (uid, machine, version, definition, input, status, state, created_at, updated_at)
     VALUES (?, ?, 1, 'h', '{}', 'running', 'x', ?, ?)`,
  );
  let runs = 0;
  return {
    ...createImageStore(db),
    folder,
    path,
    db,
    startRun(machine, createdAt) {
      runs += 1;
      return Number(insert.run(`run-${runs}`, machine, createdAt, createdAt).lastInsertRowid);
    },
    endRun: (id) => void db.prepare(`UPDATE runs SET status = 'done', ended_at = 1 WHERE id = ?`).run(id),
    linkRuns(parent, child) {
      db.prepare(`INSERT INTO run_links (parent, child_id, epoch, child, joined) VALUES (?, ?, 1, ?, 1)`).run(
        parent,
        `child.${child}`,
        child,
      );
    },
    reopen() {
      const other = connect();
      return { db: other, ...createImageStore(other) };
    },
    close() {
      for (const each of open) each.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const hex = (seed: string | number): string =>
  `sha256:${Buffer.from(String(seed)).toString('hex').padStart(64, '0')}`;

export const digest = (seed: string | number): Digest => hex(`b${seed}`) as Digest;
export const diffId = (seed: string | number): DiffId => hex(`d${seed}`) as DiffId;
export const chain = (seed: string | number): ChainId => hex(`c${seed}`) as ChainId;
/** The chains of the prefixes of n layers. */
export const chains = (layers: number, seed = ''): ChainId[] =>
  Array.from({ length: layers }, (_, position) => chain(`${seed}${position}`));

export const source: S3Source = {
  endpoint: 'http://127.0.0.1:9000',
  region: 'us-east-1',
  bucket: 'layers',
  prefix: 'images/',
  anonymous: true,
  insecure: false,
};

export const blob = (seed: string | number, size = 100): BlobFacts => ({
  digest: digest(seed),
  diffId: diffId(seed),
  size,
  rawSize: size * 3,
  mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
});

export const layer = (seed: string | number, size = 100): LayerRef => ({
  key: `images/f/${seed}.tar`,
  etag: `etag-${seed}`,
  size,
  digest: null,
});

export const options: ActivationOptions = {
  name: null,
  sizeBytes: null,
  readOnly: false,
  suid: false,
  dev: false,
  owner: null,
  attach: 'mount',
};

/** A sealed volume of this chain, as a run would have made it. */
export function sealedVolume(
  { volumes }: ImageStore,
  {
    id,
    layers = 1,
    parent = null,
    seed = '',
    at = 0,
    driver = 'copy',
  }: {
    id: string;
    layers?: number;
    parent?: string | null;
    seed?: string;
    at?: number;
    driver?: DriverName;
  },
): string {
  const device = { device: null, sizeBytes: null };
  const wanted = { id, driver, chains: chains(layers, seed), parent, effect: `make ${id}` };
  if (volumes.choose({ ...wanted, ...device }, at) === null) throw new Error(`could not choose ${id}`);
  volumes.created(id);
  return volumes.seal(id, at).id;
}

interface ImageWish {
  id: string;
  family?: string;
  seed?: string;
  at?: number;
  driver?: DriverName;
  /** Seeds of its layers; by default one of its own. */
  layers?: readonly (string | number)[];
}

/** A complete image over the sealed volume of chain `<seed>0`. */
export function completeImage(
  { images, blobs }: ImageStore,
  { id, family = 'f', seed = '', at = 0, driver = 'copy', layers: seeds = [`l${seed}`] }: ImageWish,
): string {
  for (const name of seeds) blobs.record(source, layer(name), blob(name), at);
  images.reserve({ id, family, source, driver, effect: `reserve ${id}` }, at);
  const layers = seeds.map((name) => ({
    digest: digest(name),
    key: layer(name).key,
    etag: layer(name).etag,
  }));
  const finished = { id, family, source, driver, chain: chain(`${seed}0`), layers, manifest: null };
  return images.register({ ...finished, effect: `register ${id}` }, at).id;
}
