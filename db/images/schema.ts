import type { ChainId, DiffId, Digest } from '#core/ids';
import type { ActivationOptions, DriverName, LayerMediaType } from '#core/image';
import type { ImageManifest } from '#core/source';
import { sqlite } from '../drizzle.ts';
import type { SourceIdentity } from './sources.ts';

const { integer, primaryKey, sqliteTable, text } = sqlite;

// The same tables as migrations.ts, for typed queries; a test compares the two. Times are ms since 1970.

export const blobs = sqliteTable('blobs', {
  digest: text('digest').primaryKey().$type<Digest>(),
  size: integer('size').notNull(),
  diffId: text('diff_id').notNull().$type<DiffId>(),
  rawSize: integer('raw_size').notNull(),
  mediaType: text('media_type').notNull().$type<LayerMediaType>(),
  /** `removing`: a sweep decided against it; its file may be gone already. */
  state: text('state', { enum: ['whole', 'removing'] }).notNull(),
  createdAt: integer('created_at').notNull(),
  usedAt: integer('used_at').notNull(),
});

/** Where a blob was downloaded from: what skips the next download of that very object. */
export const blobSources = sqliteTable(
  'blob_sources',
  {
    endpoint: text('endpoint').notNull(),
    bucket: text('bucket').notNull(),
    key: text('key').notNull(),
    etag: text('etag').notNull(),
    size: integer('size').notNull(),
    digest: text('digest').notNull().$type<Digest>(),
  },
  (t) => [primaryKey({ columns: [t.endpoint, t.bucket, t.key, t.etag, t.size] })],
);

export const volumes = sqliteTable('volumes', {
  id: text('id').primaryKey(),
  driver: text('driver').notNull().$type<DriverName>(),
  chain: text('chain').notNull().$type<ChainId>(),
  /** How many layers the chain has: a parent always has fewer. */
  layers: integer('layers').notNull(),
  parent: text('parent'),
  device: integer('device'),
  sizeBytes: integer('size_bytes'),
  state: text('state', { enum: ['creating', 'created', 'sealed', 'removing'] }).notNull(),
  effect: text('effect').notNull(),
  createdAt: integer('created_at').notNull(),
  usedAt: integer('used_at').notNull(),
});

export const images = sqliteTable('images', {
  id: text('id').primaryKey(),
  family: text('family').notNull(),
  source: text('source', { mode: 'json' }).notNull().$type<SourceIdentity>(),
  driver: text('driver').notNull().$type<DriverName>(),
  chain: text('chain').$type<ChainId>(),
  /** The volume that holds the whole image, ready to be snapshotted. */
  baseLvId: text('base_lv_id'),
  state: text('state', { enum: ['incomplete', 'complete'] }).notNull(),
  effect: text('effect').notNull(),
  createdAt: integer('created_at').notNull(),
  usedAt: integer('used_at').notNull(),
  /** Exempt from eviction. */
  pinned: integer('pinned', { mode: 'boolean' }).notNull().default(false),
  /** Null for a family of plain layers. */
  manifest: text('manifest', { mode: 'json' }).$type<ImageManifest>(),
  /** The digest that its manifest names. */
  config: text('config').$type<Digest>(),
  /** What its layers sum up to, once it is complete. */
  layerCount: integer('layer_count').notNull().default(0),
  size: integer('size').notNull().default(0),
  rawSize: integer('raw_size').notNull().default(0),
});

/** Configs of images, as they came. */
export const imageConfigs = sqliteTable('image_configs', {
  digest: text('digest').primaryKey().$type<Digest>(),
  content: text('content').notNull(),
  usedAt: integer('used_at').notNull(),
});

/** The layers of a complete image, in order. */
export const imageBlobs = sqliteTable(
  'image_blobs',
  {
    image: text('image').notNull(),
    position: integer('position').notNull(),
    digest: text('digest').notNull().$type<Digest>(),
    key: text('key').notNull(),
    etag: text('etag').notNull(),
    // As the blob has them.
    diffId: text('diff_id').notNull().default('').$type<DiffId>(),
    size: integer('size').notNull().default(0),
    rawSize: integer('raw_size').notNull().default(0),
    mediaType: text('media_type').notNull().default('').$type<LayerMediaType>(),
  },
  (t) => [primaryKey({ columns: [t.image, t.position] })],
);

export const activations = sqliteTable('activations', {
  id: text('id').primaryKey(),
  name: text('name'),
  image: text('image').notNull(),
  /** The base that it is a snapshot of. */
  volume: text('volume').notNull(),
  driver: text('driver').notNull().$type<DriverName>(),
  device: integer('device'),
  options: text('options', { mode: 'json' }).notNull().$type<ActivationOptions>(),
  mountPoint: text('mount_point').notNull(),
  path: text('path'),
  rootfs: text('rootfs'),
  devicePath: text('device_path'),
  state: text('state', { enum: ['creating', 'active', 'removing'] }).notNull(),
  effect: text('effect').notNull(),
  createdAt: integer('created_at').notNull(),
});

/** Who changes a resource (a volume, the whole store) right now. */
export const leases = sqliteTable('leases', {
  resource: text('resource').primaryKey(),
  holder: text('holder').notNull(),
  effect: text('effect').notNull(),
  acquiredAt: integer('acquired_at').notNull(),
});

/** Every device number that was ever given out: none is given out twice. */
export const devicesUsed = sqliteTable(
  'devices_used',
  { driver: text('driver').notNull().$type<DriverName>(), device: integer('device').notNull() },
  (t) => [primaryKey({ columns: [t.driver, t.device] })],
);
