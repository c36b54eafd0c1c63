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
  {
    // When and whether runs begin, and how they end.
    version: 4,
    sql: `
ALTER TABLE runs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN start_at INTEGER;
ALTER TABLE runs ADD COLUMN after_run INTEGER;
ALTER TABLE runs ADD COLUMN after_when TEXT CHECK (after_when IN ('done', 'ended', 'failed'));
ALTER TABLE runs ADD COLUMN after_otherwise TEXT CHECK (after_otherwise IN ('cancel', 'park'));
ALTER TABLE runs ADD COLUMN replaces INTEGER;
ALTER TABLE runs ADD COLUMN awaited INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN killed TEXT;
ALTER TABLE runs ADD COLUMN continued_as INTEGER;
ALTER TABLE runs ADD COLUMN schedule TEXT;
ALTER TABLE runs ADD COLUMN history_from INTEGER NOT NULL DEFAULT 1;
ALTER TABLE runs ADD COLUMN labels TEXT;
ALTER TABLE run_links ADD COLUMN on_close TEXT NOT NULL DEFAULT 'cancel' CHECK (on_close IN ('cancel', 'abandon'));
ALTER TABLE queues ADD COLUMN ordering TEXT NOT NULL DEFAULT 'priority' CHECK (ordering IN ('priority', 'fifo'));
ALTER TABLE queues ADD COLUMN keep_newest INTEGER CHECK (keep_newest > 0);

DROP INDEX runs_live_key;
DROP INDEX runs_queue;
CREATE UNIQUE INDEX runs_live_key ON runs (machine, key)
  WHERE key IS NOT NULL AND ended_at IS NULL AND replaces IS NULL;
CREATE INDEX runs_successor ON runs (machine, key)
  WHERE key IS NOT NULL AND ended_at IS NULL AND replaces IS NOT NULL;
CREATE INDEX runs_ended_key ON runs (machine, key) WHERE key IS NOT NULL AND ended_at IS NOT NULL;
CREATE INDEX runs_placed ON runs (queue) WHERE queue IS NOT NULL AND admitted = 1 AND ended_at IS NULL;
CREATE INDEX runs_queued ON runs (queue, owner) WHERE queue IS NOT NULL AND admitted = 0 AND ended_at IS NULL;
CREATE INDEX runs_after ON runs (after_run) WHERE after_run IS NOT NULL;
CREATE INDEX runs_replaces ON runs (replaces) WHERE replaces IS NOT NULL;
CREATE INDEX runs_schedule ON runs (schedule) WHERE schedule IS NOT NULL AND ended_at IS NULL;

CREATE TABLE schedules (
  name TEXT PRIMARY KEY,
  machine TEXT NOT NULL,
  input TEXT NOT NULL,
  cron TEXT NOT NULL,
  time_zone TEXT NOT NULL,
  catch_up TEXT NOT NULL CHECK (catch_up IN ('none', 'last', 'all')),
  catch_up_max INTEGER NOT NULL CHECK (catch_up_max > 0),
  overlap TEXT NOT NULL CHECK (overlap IN ('skip', 'queue', 'allow')),
  paused INTEGER NOT NULL DEFAULT 0,
  next_at INTEGER,
  last_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
`,
  },
  {
    // Runs are deleted: by themselves, and when they have ended long ago.
    version: 5,
    sql: `
CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX events_run ON events (run);
`,
  },
  {
    version: 6,
    sql: `
ALTER TABLE runs ADD COLUMN origin TEXT;
ALTER TABLE runs ADD COLUMN forked_from TEXT;
ALTER TABLE transitions ADD COLUMN timers TEXT;
`,
  },
  {
    version: 7,
    sql: 'ALTER TABLE runs ADD COLUMN trace TEXT;',
  },
  {
    version: 8,
    sql: `
CREATE TABLE secrets (
  run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  ref TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (run, ref)
) STRICT, WITHOUT ROWID;
`,
  },
  {
    version: 9,
    sql: 'CREATE INDEX runs_continued ON runs (continued_as) WHERE continued_as IS NOT NULL;',
  },
];
