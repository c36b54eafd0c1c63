import type { Database } from 'better-sqlite3';
import type { MigrationSet } from '../migrate.ts';
import { write } from '../open.ts';

/** The tables of the dashboard: who did what, and how full the pool was. */
export const dashboardSet: MigrationSet = {
  name: 'dashboard',
  migrations: [
    {
      version: 1,
      sql: `
CREATE TABLE audit (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  run TEXT,
  detail TEXT NOT NULL,
  outcome TEXT NOT NULL
) STRICT;

CREATE TABLE space_samples (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  what TEXT NOT NULL,
  unit TEXT NOT NULL,
  free INTEGER NOT NULL,
  total INTEGER NOT NULL
) STRICT;
CREATE INDEX space_samples_at ON space_samples (at);
`,
    },
  ],
};

/** One thing that somebody did, or tried to do, by the dashboard. */
export interface AuditEntry {
  id: number;
  /** Milliseconds since 1970. */
  at: number;
  /** Who: the user of the system that the server runs as, and from where the request came. */
  actor: string;
  action: string;
  run: string | null;
  /** What was asked for, as JSON. */
  detail: unknown;
  /** `ok`, or the code of the error. */
  outcome: string;
}

/** How much there was of something that runs out. */
export interface SpaceSample {
  at: number;
  what: string;
  unit: string;
  free: number;
  total: number;
}

export type DashboardStore = ReturnType<typeof createDashboardStore>;

/** Rows that nobody needs any more: the audit log keeps the newest, samples a week. */
const auditRowsMax = 50_000;
const samplesKeptMs = 7 * 24 * 3600 * 1000;

/** The audit log and the samples of space, in a database opened with `dashboardSet`. */
export function createDashboardStore(db: Database) {
  const insertAudit = db.prepare(`INSERT INTO audit (at, actor, action, run, detail, outcome)
    VALUES (@at, @actor, @action, @run, @detail, @outcome)`);
  const trimAudit = db.prepare('DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?');
  const listAudit = db.prepare(`SELECT * FROM audit WHERE @run IS NULL OR run = @run
    ORDER BY id DESC LIMIT @limit`);
  const insertSample = db.prepare(`INSERT INTO space_samples (at, what, unit, free, total)
    VALUES (@at, @what, @unit, @free, @total)`);
  const trimSamples = db.prepare('DELETE FROM space_samples WHERE at < ?');
  const listSamples = db.prepare(
    'SELECT at, what, unit, free, total FROM space_samples WHERE at >= ? ORDER BY at, id',
  );

  return {
    audit: {
      add(entry: Omit<AuditEntry, 'id'>): void {
        write(db, () => {
          insertAudit.run({ ...entry, detail: JSON.stringify(entry.detail) });
          trimAudit.run(auditRowsMax);
        });
      },
      /** The newest first; of one run, or of all. */
      list: ({ run = null, limit = 500 }: { run?: string | null; limit?: number } = {}): AuditEntry[] =>
        (listAudit.all({ run, limit }) as (AuditEntry & { detail: string })[]).map((row) => ({
          ...row,
          detail: JSON.parse(row.detail) as unknown,
        })),
    },
    samples: {
      add(samples: readonly SpaceSample[]): void {
        write(db, () => {
          for (const { at, what, unit, free, total } of samples)
            insertSample.run({ at, what, unit, free, total });
          trimSamples.run((samples[0]?.at ?? 0) - samplesKeptMs);
        });
      },
      since: (at: number): SpaceSample[] => listSamples.all(at) as SpaceSample[],
    },
  };
}
