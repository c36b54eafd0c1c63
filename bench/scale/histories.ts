import { statSync } from 'node:fs';
import { engineSet } from '#db/engine/index';
import { openDatabase } from '#db/open';
import { openEngine } from '#engine/index';

export interface Compaction {
  ms: number;
  cpuMs: number;
  rows: number;
  /** MiB that are in use, before and after; the file keeps what is free for what comes next. */
  before: number;
  after: number;
  /** MiB of a copy, as `flyd db backup` makes it. */
  copy: number;
}

export interface Histories {
  runs: number;
  /** Rows of each run's history, and how many of them are kept. */
  rows: number;
  keep: number;
}

/** Every so many rows the engine stores a whole snapshot (docs/design.md, "History"). */
const wholeEvery = 50;

/** Makes waiting runs with long histories in a new database at `path`, and compacts them. */
export async function compactHistories(path: string, { runs, rows, keep }: Histories): Promise<Compaction> {
  const db = openDatabase(path, [engineSet]);
  try {
    makeHistories(db, runs, rows);
    const before = inUse(db);
    const engine = openEngine({ db, machines: [], retention: { historyRowsMax: keep } });
    const [cpu, started] = [process.cpuUsage(), performance.now()];
    const { rows: cut } = await engine.compact();
    const ms = performance.now() - started;
    const { user, system } = process.cpuUsage(cpu);
    await engine.close();
    const after = inUse(db);
    db.prepare('VACUUM INTO ?').run(`${path}.copy`);
    const copy = statSync(`${path}.copy`).size / 2 ** 20;
    return { ms, cpuMs: (user + system) / 1000, rows: cut, before, after, copy };
  } finally {
    db.close();
  }
}

type Database = ReturnType<typeof openDatabase>;

const inUse = (db: Database): number => {
  const pages = (name: string): number => db.pragma(name, { simple: true }) as number;
  return ((pages('page_count') - pages('freelist_count')) * pages('page_size')) / 2 ** 20;
};

function makeHistories(db: Database, runs: number, rows: number): void {
  const at = Date.now();
  db.prepare(
    `INSERT INTO definitions (hash, machine, version, config, created_at) VALUES ('bench', 'long', 1, '{}', 0)`,
  ).run();
  const insert = (table: string, columns: string) =>
    db.prepare(`INSERT INTO ${table} (${columns}) VALUES (${columns.replace(/[^,]+/g, '?')})`);
  const run = insert(
    'runs',
    'id, uid, machine, version, definition, input, status, state, snapshot, seq, created_at, updated_at',
  );
  const step = insert(
    'transitions',
    'id, run, seq, prev, at, event, to_state, effects, definition, patch, snapshot',
  );
  const point = db.prepare('UPDATE runs SET last = ? WHERE id = ?');
  const snapshot = JSON.stringify({ value: 'waiting', context: { note: 'x'.repeat(400), count: 0 } });
  const patch = JSON.stringify([{ op: 'replace', path: '/context/count', value: 1 }]);
  db.transaction(() => {
    for (let id = 1; id <= runs; id++)
      run.run(id, `LONG-${id}`, 'long', 1, 'bench', '{}', 'waiting', 'waiting', snapshot, rows, at, at);
    // Row by row of all runs, as runs that move side by side write them.
    for (let seq = 1; seq <= rows; seq++)
      for (let id = 1; id <= runs; id++) {
        const [row, prev] = [(seq - 1) * runs + id, seq === 1 ? null : (seq - 2) * runs + id];
        const whole = (seq - 1) % wholeEvery === 0;
        const [change, all] = whole ? [null, snapshot] : [patch, null];
        step.run(row, id, seq, prev, at, '{"type":"tick"}', 'waiting', '[]', 'bench', change, all);
        if (seq === rows) point.run(row, id);
      }
  })();
  db.pragma('wal_checkpoint(TRUNCATE)');
}
