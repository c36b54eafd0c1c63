import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Database } from 'better-sqlite3';
import { createReads, engineSet } from '#db/engine/index';
import { prepareAll } from '#db/engine/statements';
import { createWatchReads } from '#db/engine/watch';
import { openDatabase } from '#db/open';
import { tempFolder } from '../support/engine.ts';

/** What it costs to parse this is a multiple of what any statement costs on empty tables. */
const longComment = `/*${'x'.repeat(200_000)}*/`;
const uses = 20;

/** Microseconds for one use of the statement at best, each with another value for its parameters. */
function costOf(db: Database, text: string): number {
  const statement = db.prepare(text);
  const names = [...new Set([...text.matchAll(/@(\w+)/g)].map(([, name]) => name as string))];
  const count = [...text.matchAll(/\?/g)].length;
  const use = (value: number): void => {
    const given = [
      ...(names.length === 0 ? [] : [Object.fromEntries(names.map((name) => [name, value]))]),
      ...Array.from({ length: count }, () => value),
    ];
    try {
      if (statement.reader) statement.all(...given);
      else statement.run(...given);
    } catch {
      // A constraint: the statement was run all the same.
    }
  };
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 10; round++) {
    db.exec('BEGIN IMMEDIATE');
    use(-1);
    const from = performance.now();
    for (let value = 0; value < uses; value++) use(value);
    least = Math.min(least, ((performance.now() - from) * 1000) / uses);
    if (db.inTransaction) db.exec('ROLLBACK');
  }
  return least;
}

/** The texts of all statements of the engine, also of those that it reads by. */
function textsOf(db: Database): string[] {
  const texts = new Set<string>();
  const prepare = db.prepare.bind(db);
  db.prepare = ((text: string) => {
    texts.add(text);
    return prepare(text);
  }) as typeof db.prepare;
  const statements = prepareAll(db);
  for (const name of Object.keys(statements) as (keyof typeof statements)[]) void statements[name];
  const query = { machine: null, status: null, limit: 1 };
  for (const reads of [createReads(db), createWatchReads(db)])
    for (const read of Object.values(reads) as ((...given: unknown[]) => unknown)[])
      for (const given of [1, 'x', [1], query])
        try {
          read(given, given);
        } catch {
          // Not what this one takes.
        }
  db.prepare = prepare as typeof db.prepare;
  return [...texts];
}

test('SQLite plans no statement of the engine anew at each use', (t) => {
  const db = openDatabase(join(tempFolder(t), 'engine.db'), [engineSet]);
  t.after(() => db.close());
  const texts = textsOf(db);
  assert.ok(texts.length > 90, `only ${texts.length} statements were seen`);
  const again = texts.filter((text) => costOf(db, `${longComment} ${text}`) > costOf(db, text) + 15);
  assert.deepEqual(again, []);
});

test('no statement of the engine walks through the histories of all runs', (t) => {
  const db = openDatabase(join(tempFolder(t), 'engine.db'), [engineSet]);
  t.after(() => db.close());
  const walks = textsOf(db).filter((text) => {
    const known = text.replaceAll(/@\w+|\?/g, '1');
    const plan = db.prepare(`EXPLAIN QUERY PLAN ${known}`).all() as { detail: string }[];
    return plan.some(({ detail }) => /^SCAN (t|transitions)\b(?! USING)/.test(detail));
  });
  assert.deepEqual(walks, []);
});
