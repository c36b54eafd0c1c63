import type { Migration } from '../migrate.ts';

/** The tables of images, blobs, volumes and activations. Never edit a migration that was released: add one. */
export const imageMigrations: readonly Migration[] = [
  {
    version: 1,
    sql: `
CREATE TABLE blobs (
  digest TEXT PRIMARY KEY,
  size INTEGER NOT NULL,
  diff_id TEXT NOT NULL,
  raw_size INTEGER NOT NULL,
  media_type TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('whole', 'removing')),
  created_at INTEGER NOT NULL,
  used_at INTEGER NOT NULL
) STRICT;

CREATE TABLE blob_sources (
  endpoint TEXT NOT NULL,
  bucket TEXT NOT NULL,
  key TEXT NOT NULL,
  etag TEXT NOT NULL,
  size INTEGER NOT NULL,
  digest TEXT NOT NULL REFERENCES blobs (digest) ON DELETE CASCADE,
  PRIMARY KEY (endpoint, bucket, key, etag, size)
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_sources_digest ON blob_sources (digest);

CREATE TABLE volumes (
  id TEXT PRIMARY KEY,
  driver TEXT NOT NULL,
  chain TEXT NOT NULL,
  layers INTEGER NOT NULL,
  parent TEXT REFERENCES volumes (id),
  device INTEGER,
  size_bytes INTEGER,
  state TEXT NOT NULL CHECK (state IN ('creating', 'created', 'sealed', 'removing')),
  effect TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  used_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX volumes_sealed ON volumes (driver, chain) WHERE state = 'sealed';
CREATE INDEX volumes_parent ON volumes (parent) WHERE parent IS NOT NULL;

CREATE TABLE images (
  id TEXT PRIMARY KEY,
  family TEXT NOT NULL,
  source TEXT NOT NULL,
  driver TEXT NOT NULL,
  chain TEXT,
  base_lv_id TEXT REFERENCES volumes (id),
  state TEXT NOT NULL CHECK (state IN ('incomplete', 'complete')),
  effect TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  used_at INTEGER NOT NULL,
  CHECK (state = 'incomplete' OR (base_lv_id IS NOT NULL AND chain IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX images_complete ON images (family, source, driver, chain) WHERE state = 'complete';
CREATE INDEX images_base ON images (base_lv_id) WHERE base_lv_id IS NOT NULL;

CREATE TABLE image_blobs (
  image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  digest TEXT NOT NULL REFERENCES blobs (digest),
  key TEXT NOT NULL,
  etag TEXT NOT NULL,
  PRIMARY KEY (image, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_blobs_digest ON image_blobs (digest);

CREATE TABLE activations (
  id TEXT PRIMARY KEY,
  name TEXT UNIQUE,
  image TEXT NOT NULL REFERENCES images (id),
  volume TEXT NOT NULL REFERENCES volumes (id),
  driver TEXT NOT NULL,
  device INTEGER,
  options TEXT NOT NULL,
  mount_point TEXT NOT NULL,
  path TEXT,
  rootfs TEXT,
  device_path TEXT,
  state TEXT NOT NULL CHECK (state IN ('creating', 'active', 'removing')),
  effect TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX activations_image ON activations (image);
CREATE INDEX activations_volume ON activations (volume);

CREATE TABLE leases (
  resource TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  effect TEXT NOT NULL,
  acquired_at INTEGER NOT NULL
) STRICT;

CREATE TABLE devices_used (
  driver TEXT NOT NULL,
  device INTEGER NOT NULL,
  PRIMARY KEY (driver, device)
) STRICT, WITHOUT ROWID;
`,
  },
  {
    version: 2,
    sql: 'ALTER TABLE images ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1));',
  },
  {
    // What an OCI manifest says of an image; the text of a config is kept once.
    version: 3,
    sql: `
CREATE TABLE image_configs (
  digest TEXT PRIMARY KEY,
  content TEXT NOT NULL,
  used_at INTEGER NOT NULL
) STRICT;

ALTER TABLE images ADD COLUMN manifest TEXT;
ALTER TABLE images ADD COLUMN config TEXT REFERENCES image_configs (digest);
CREATE INDEX images_config ON images (config) WHERE config IS NOT NULL;
`,
  },
  {
    version: 4,
    sql: `
CREATE TABLE restored (taken_at INTEGER NOT NULL) STRICT;
CREATE TABLE kept (id TEXT PRIMARY KEY, since INTEGER NOT NULL) STRICT;
`,
  },
  {
    // What the layers of a complete image sum up to: they never change, and lists need nothing else of them.
    version: 5,
    sql: `
ALTER TABLE images ADD COLUMN layer_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE images ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE images ADD COLUMN raw_size INTEGER NOT NULL DEFAULT 0;
UPDATE images SET (layer_count, size, raw_size) = (
  SELECT count(*), coalesce(sum(b.size), 0), coalesce(sum(b.raw_size), 0)
  FROM image_blobs AS i JOIN blobs AS b ON b.digest = i.digest WHERE i.image = images.id);
`,
  },
  {
    // One row, raised by each process that begins to move runs: `db/images/restored.ts`.
    version: 6,
    sql: `
CREATE TABLE generation (number INTEGER NOT NULL) STRICT;
INSERT INTO generation (number) VALUES (0);
`,
  },
  {
    // A sweep and `flyd doctor` ask which blobs are being removed: none, nearly always.
    version: 7,
    sql: "CREATE INDEX blobs_removing ON blobs (digest) WHERE state = 'removing';",
  },
  {
    // What a layer's digest says of it for ever: a list of all layers need not look up each of them among the blobs.
    version: 8,
    sql: `
ALTER TABLE image_blobs ADD COLUMN diff_id TEXT NOT NULL DEFAULT '';
ALTER TABLE image_blobs ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE image_blobs ADD COLUMN raw_size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE image_blobs ADD COLUMN media_type TEXT NOT NULL DEFAULT '';
UPDATE image_blobs SET (diff_id, size, raw_size, media_type) = (
  SELECT b.diff_id, b.size, b.raw_size, b.media_type FROM blobs AS b WHERE b.digest = image_blobs.digest)
WHERE digest IN (SELECT digest FROM blobs);
`,
  },
];
