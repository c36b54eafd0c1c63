import { join } from 'node:path';
import SqliteDatabase from 'better-sqlite3';
import { stepsPerRun } from '../chart.ts';
import type { OpenSubject } from '../subject.ts';

/**
 * What somebody would write by hand for these ten steps, and nothing else: the rows that flyd keeps too (the
 * run with its context and its owner, its history, the effect under way), written in the same transactions:
 * whatever is there when the last commit is over shares the next one. No statechart, no retries, no timers.
 */
export const openTable: OpenSubject = async ({ folder, clock }) => {
  const db = new SqliteDatabase(join(folder, 'table.db'));
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  if (db.pragma('synchronous', { simple: true }) !== 2) throw new Error('synchronous=FULL did not hold');
  db.exec(schema);
  const sql = {
    begin: db.prepare('BEGIN IMMEDIATE'),
    commit: db.prepare('COMMIT'),
    insert: db.prepare(
      'INSERT INTO runs (uid, owner, state, context, seq, created_at, updated_at) VALUES (?, ?, ?, ?, 0, ?, ?)',
    ),
    update: db.prepare(
      'UPDATE runs SET state = ?, context = ?, seq = ?, last = ?, updated_at = ?, ended_at = ? WHERE id = ? AND owner = ? AND seq = ?',
    ),
    history: db.prepare(
      'INSERT INTO history (run, seq, prev, at, event, from_state, to_state, ms, context) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
    ),
    start: db.prepare(
      'INSERT INTO effects (run, child, epoch, src, input, due_at) VALUES (?, ?, ?, ?, ?, ?)',
    ),
    over: db.prepare('DELETE FROM effects WHERE run = ? AND child = ?'),
  };
  const owner = `owner-${process.pid}`;
  const waiting: Run[] = [];
  let ticking = false;

  function post(run: Run): void {
    waiting.push(run);
    if (ticking) return;
    ticking = true;
    setImmediate(tick);
  }

  /** One transaction for all that have something to write; their effects begin after it. */
  function tick(): void {
    ticking = false;
    const now = Date.now();
    const batch = waiting.splice(0);
    for (const run of batch) if (run.result !== null) take(run, run.result);
    sql.begin.run();
    for (const run of batch) write(run, now);
    sql.commit.run();
    for (const run of batch)
      if (run.done === stepsPerRun) run.ended();
      else void work(run);
  }

  function take(run: Run, result: string): void {
    run.done += 1;
    run.context = JSON.stringify({ name: run.name, done: run.done, last: `${run.done} was ${result}` });
  }

  function write(run: Run, now: number): void {
    const [from, to] = [stateOf(run.done - 1), stateOf(run.done)];
    if (run.result === null) {
      run.id = Number(sql.insert.run(run.name, owner, to, run.context, now, now).lastInsertRowid);
    } else {
      const event = JSON.stringify({ type: 'done.step', output: run.result });
      const ms = now - run.begunAt;
      const row = sql.history.run(run.id, run.done, run.last, now, event, from, to, ms, run.context);
      run.last = Number(row.lastInsertRowid);
      const ended = run.done === stepsPerRun ? now : null;
      const { changes } = sql.update.run(
        ...[to, run.context, run.done, run.last, now, ended, run.id, owner, run.done - 1],
      );
      if (changes !== 1) throw new Error(`run ${run.name} is not ours`);
      sql.over.run(run.id, 'step');
    }
    if (run.done < stepsPerRun) sql.start.run(run.id, 'step', run.done + 1, 'step', run.input, now);
    run.begunAt = now;
  }

  async function work(run: Run): Promise<void> {
    run.result = await step(run.name);
    post(run);
  }

  async function step(name: string): Promise<string> {
    clock.begin(name);
    return 'ok';
  }

  return {
    run: (name) =>
      new Promise((ended) => {
        const context = JSON.stringify({ name, done: 0, last: 'nothing yet' });
        const input = JSON.stringify({ name });
        post({ id: 0, name, input, context, done: 0, last: null, begunAt: 0, result: null, ended });
      }),
    async close() {
      const transitions = db.prepare('SELECT count(*) FROM history').pluck().get() as number;
      const runs = db.prepare('SELECT count(*) FROM runs WHERE ended_at IS NOT NULL').pluck().get() as number;
      db.close();
      return { transitions, runs };
    },
  };
};

interface Run {
  id: number;
  name: string;
  input: string;
  context: string;
  done: number;
  /** Its newest row of history. */
  last: number | null;
  begunAt: number;
  /** Of its last step; null before the first. */
  result: string | null;
  ended: () => void;
}

const stateOf = (done: number): string => (done === stepsPerRun ? 'over' : `step${done + 1}`);

const schema = `
  CREATE TABLE runs (
    id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, state TEXT NOT NULL, context TEXT NOT NULL,
    seq INTEGER NOT NULL, last INTEGER, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, ended_at INTEGER
  ) STRICT;
  CREATE TABLE history (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL, seq INTEGER NOT NULL, prev INTEGER, at INTEGER NOT NULL,
    event TEXT NOT NULL, from_state TEXT NOT NULL, to_state TEXT NOT NULL, ms REAL NOT NULL, context TEXT NOT NULL
  ) STRICT;
  CREATE TABLE effects (
    run INTEGER NOT NULL, child TEXT NOT NULL, epoch INTEGER NOT NULL, src TEXT NOT NULL, input TEXT NOT NULL,
    due_at INTEGER NOT NULL, PRIMARY KEY (run, child)
  ) STRICT, WITHOUT ROWID;
`;
