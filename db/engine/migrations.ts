import type { Migration } from '../migrate.ts';

/** The engine's tables, version by version. Never edit a migration that was released: add one. */
export const engineMigrations: readonly Migration[] = [
  {
    version: 1,
    sql: `
CREATE TABLE definitions (
  hash TEXT PRIMARY KEY,
  machine TEXT NOT NULL,
  version INTEGER NOT NULL,
  config TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE queues (
  name TEXT PRIMARY KEY,
  places INTEGER NOT NULL CHECK (places > 0)
) STRICT;

CREATE TABLE runs (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  machine TEXT NOT NULL,
  version INTEGER NOT NULL,
  definition TEXT NOT NULL REFERENCES definitions (hash),
  key TEXT,
  input TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('running', 'waiting', 'pending', 'parked', 'done', 'failed', 'cancelled')),
  state TEXT NOT NULL,
  snapshot TEXT CHECK (seq = 0 OR snapshot IS NOT NULL),
  output TEXT,
  error TEXT,
  parked TEXT,
  attempts INTEGER NOT NULL DEFAULT 0,
  seq INTEGER NOT NULL DEFAULT 0,
  last INTEGER,
  epoch INTEGER NOT NULL DEFAULT 0,
  owner TEXT,
  standalone INTEGER NOT NULL DEFAULT 0,
  cancel TEXT,
  cancel_delivered INTEGER NOT NULL DEFAULT 0,
  queue TEXT REFERENCES queues (name),
  admitted INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  ended_at INTEGER
) STRICT;
CREATE UNIQUE INDEX runs_live_key ON runs (machine, key) WHERE key IS NOT NULL AND ended_at IS NULL;
CREATE INDEX runs_live ON runs (owner) WHERE ended_at IS NULL;
CREATE INDEX runs_queue ON runs (queue) WHERE queue IS NOT NULL AND ended_at IS NULL;

CREATE TABLE transitions (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  prev INTEGER,
  at INTEGER NOT NULL,
  event TEXT NOT NULL,
  from_state TEXT,
  to_state TEXT NOT NULL,
  effects TEXT NOT NULL,
  ms REAL,
  error TEXT,
  definition TEXT NOT NULL,
  patch TEXT,
  snapshot TEXT,
  CHECK (patch IS NOT NULL OR snapshot IS NOT NULL)
) STRICT;

CREATE TABLE effects (
  run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  child TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  src TEXT NOT NULL,
  input TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('due', 'pending', 'parked')),
  attempt INTEGER NOT NULL DEFAULT 0,
  looks INTEGER NOT NULL DEFAULT 0,
  due_at INTEGER NOT NULL,
  error TEXT,
  PRIMARY KEY (run, child)
) STRICT, WITHOUT ROWID;

CREATE TABLE timers (
  run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  timer TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  event TEXT NOT NULL,
  due_at INTEGER NOT NULL,
  PRIMARY KEY (run, timer)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  direction TEXT NOT NULL CHECK (direction IN ('in', 'out')),
  event TEXT NOT NULL,
  child TEXT,
  epoch INTEGER,
  dedupe TEXT,
  at INTEGER NOT NULL,
  applied INTEGER
) STRICT;
CREATE UNIQUE INDEX events_dedupe ON events (run, dedupe) WHERE dedupe IS NOT NULL;
CREATE INDEX events_due ON events (run) WHERE direction = 'in' AND applied IS NULL;

CREATE TABLE run_links (
  parent INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  child_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  child INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  joined INTEGER NOT NULL,
  settled INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (parent, child_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_links_child ON run_links (child);
`,
  },
  {
    version: 2,
    sql: 'ALTER TABLE effects ADD COLUMN saved TEXT;',
  },
  {
    version: 3,
    sql: `
ALTER TABLE runs ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE runs ADD COLUMN tags_last TEXT NOT NULL DEFAULT '{}';
`,
  },
];
