import { join } from 'node:path';
import SqliteDatabase from 'better-sqlite3';
import type { OpenSubject, Subject, Surroundings } from '../subject.ts';
import { byHand, byXState, type Program, type Standing } from './programs.ts';

/**
 * What somebody would write by hand for these ten steps, and nothing else: the rows that flyd keeps too (the
 * run with its context and its owner, its history, the effect under way), written in the same transactions:
 * whatever is there when the last commit is over shares the next one. No retries, no timers, no children.
 */
export const openTable: OpenSubject = async (surroundings) => tableOf(byHand, surroundings);

/** The same table, moved by the statechart: what is left of the difference is flyd's own. */
export const openXStateTable: OpenSubject = async (surroundings) => tableOf(byXState, surroundings);

function tableOf<S extends Standing>(program: Program<S>, { folder, clock }: Surroundings): Subject {
  const db = new SqliteDatabase(join(folder, 'table.db'));
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  if (db.pragma('synchronous', { simple: true }) !== 2) throw new Error('synchronous=FULL did not hold');
  db.exec(schema);
  const sql = prepare(db);
  const owner = `owner-${process.pid}`;
  const waiting: Run<S>[] = [];

  function post(run: Run<S>): void {
    if (waiting.push(run) === 1) setImmediate(tick);
  }

  /** One transaction for all that have something to write; their effects begin after it. */
  function tick(): void {
    const now = Date.now();
    const batch = waiting.splice(0);
    const moved = batch.map((run) => ({
      run,
      next: run.result === null ? run.standing : program.next(run.standing, run.result),
    }));
    sql.begin.run();
    for (const { run, next } of moved) {
      if (run.result === null) insert(run, now);
      else update(run, next, run.result, now);
      if (!next.isOver) sql.start.run(run.id, 'step', run.seq + 1, 'step', run.input, now);
    }
    sql.commit.run();
    for (const { run, next } of moved) {
      run.standing = next;
      run.begunAt = now;
      if (next.isOver) run.ended();
      else void work(run);
    }
  }

  function insert(run: Run<S>, now: number): void {
    const { state, text } = run.standing;
    run.id = Number(sql.insert.run(run.name, owner, state, text, now, now).lastInsertRowid);
  }

  function update(run: Run<S>, next: S, result: string, now: number): void {
    const { id, standing, begunAt } = run;
    const event = JSON.stringify({ type: 'done.step', output: result });
    run.seq += 1;
    const row = sql.history.run(
      ...[id, run.seq, run.last, now, event, standing.state, next.state, now - begunAt, next.text],
    );
    run.last = Number(row.lastInsertRowid);
    const ended = next.isOver ? now : null;
    const { changes } = sql.update.run(
      ...[next.state, next.text, run.seq, run.last, now, ended, id, owner, run.seq - 1],
    );
    if (changes !== 1) throw new Error(`run ${run.name} is not ours`);
    sql.over.run(id, 'step');
  }

  async function work(run: Run<S>): Promise<void> {
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
        const input = JSON.stringify({ name });
        const standing = program.begin(name);
        post({ id: 0, name, input, standing, seq: 0, last: null, begunAt: 0, result: null, ended });
      }),
    async close() {
      const transitions = db.prepare('SELECT count(*) FROM history').pluck().get() as number;
      const runs = db.prepare('SELECT count(*) FROM runs WHERE ended_at IS NOT NULL').pluck().get() as number;
      db.close();
      return { transitions, runs };
    },
  };
}

interface Run<S extends Standing> {
  id: number;
  name: string;
  input: string;
  standing: S;
  seq: number;
  /** Its newest row of history. */
  last: number | null;
  begunAt: number;
  /** Of its last step; null before the first. */
  result: string | null;
  ended: () => void;
}

function prepare(db: SqliteDatabase.Database) {
  const all = {
    begin: 'BEGIN IMMEDIATE',
    commit: 'COMMIT',
    insert:
      'INSERT INTO runs (uid, owner, state, context, seq, created_at, updated_at) VALUES (?, ?, ?, ?, 0, ?, ?)',
    update: `UPDATE runs SET state = ?, context = ?, seq = ?, last = ?, updated_at = ?, ended_at = ?
      WHERE id = ? AND owner = ? AND seq = ?`,
    history: `INSERT INTO history (run, seq, prev, at, event, from_state, to_state, ms, context)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    start: 'INSERT INTO effects (run, child, epoch, src, input, due_at) VALUES (?, ?, ?, ?, ?, ?)',
    over: 'DELETE FROM effects WHERE run = ? AND child = ?',
  };
  return Object.fromEntries(Object.entries(all).map(([name, text]) => [name, db.prepare(text)])) as Record<
    keyof typeof all,
    SqliteDatabase.Statement
  >;
}

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
