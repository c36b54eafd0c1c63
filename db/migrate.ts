import type { Database } from 'better-sqlite3';
import { unrecoverable } from '#core/errors';

export interface Migration {
  version: number;
  sql: string;
}

/** One set of tables with a version of its own: an application of the engine gets only the engine's. */
export interface MigrationSet {
  name: string;
  migrations: readonly Migration[];
}

/** Whether every set is there in the very version that this build knows. Writes nothing. */
export function isMigrated(db: Database, sets: readonly MigrationSet[]): boolean {
  const stored = storedVersions(db);
  return sets.every(({ name, migrations }) => stored.get(name) === (migrations.at(-1)?.version ?? 0));
}

/**
 * Brings every set up to date inside one immediate transaction. Two processes may do it at once: the
 * second finds the work done. Throws `database_newer` when a set was written by a newer version.
 */
export function migrate(db: Database, sets: readonly MigrationSet[]): void {
  db.exec('CREATE TABLE IF NOT EXISTS schema_sets (name TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT');
  const versionOf = db.prepare<[string], { version: number }>(
    'SELECT version FROM schema_sets WHERE name = ?',
  );
  const setVersion = db.prepare('INSERT OR REPLACE INTO schema_sets (name, version) VALUES (?, ?)');
  for (const { name, migrations } of sets) {
    const newest = migrations.at(-1)?.version ?? 0;
    const stored = versionOf.get(name)?.version ?? 0;
    refuseNewer(db, name, stored, newest);
    for (const { version, sql } of migrations)
      if (version > stored) {
        db.exec(sql);
        setVersion.run(name, version);
      }
  }
}

/** Throws `database_newer` when a set was written by a newer version. Writes nothing. */
export function refuseNewerSets(db: Database, sets: readonly MigrationSet[]): void {
  const stored = storedVersions(db);
  for (const { name, migrations } of sets)
    refuseNewer(db, name, stored.get(name) ?? 0, migrations.at(-1)?.version ?? 0);
}

function refuseNewer(db: Database, name: string, stored: number, newest: number): void {
  if (stored <= newest) return;
  throw unrecoverable(
    'database_newer',
    `the ${name} tables are version ${stored}; this build knows ${newest}`,
    {
      op: 'database.open',
      subject: db.name,
      hint: 'use the newer flyd that wrote it, or another --state-dir',
    },
  );
}

/** The version of each set that is there. */
function storedVersions(db: Database): Map<string, number> {
  const has = db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_sets'").get();
  if (has === undefined) return new Map();
  const rows = db.prepare('SELECT name, version FROM schema_sets').all() as {
    name: string;
    version: number;
  }[];
  return new Map(rows.map(({ name, version }) => [name, version]));
}
