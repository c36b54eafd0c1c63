import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import SqliteDatabase from 'better-sqlite3';
import { orm } from '#db/drizzle';
import { engineSet } from '#db/engine/index';
import * as schema from '#db/engine/schema';
import { openDatabase, write } from '#db/open';
import { tempFolder } from '../support/engine.ts';

const hashOf = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

test('every connection syncs each commit, in WAL mode, with foreign keys', (t) => {
  const path = join(tempFolder(t), 'x.db');
  for (let time = 0; time < 2; time++) {
    const db = openDatabase(path, [engineSet]);
    assert.equal(db.pragma('synchronous', { simple: true }), 2);
    assert.equal(db.pragma('journal_mode', { simple: true }), 'wal');
    assert.equal(db.pragma('foreign_keys', { simple: true }), 1);
    db.close();
  }
});

test('opening a database that is up to date writes nothing', (t) => {
  const path = join(tempFolder(t), 'x.db');
  const first = openDatabase(path, [engineSet]);
  const version = (): unknown => first.pragma('data_version', { simple: true });
  const before = version();
  openDatabase(path, [engineSet]).close();
  assert.equal(version(), before);
  first.close();
});

test('a database of a newer layout or newer tables is refused and left as it was', (t) => {
  const folder = tempFolder(t);
  for (const [name, spoil] of [
    ['layout', 'PRAGMA user_version = 99'],
    ['tables', "UPDATE schema_sets SET version = 99 WHERE name = 'engine'"],
  ] as const) {
    const path = join(folder, `${name}.db`);
    openDatabase(path, [engineSet]).close();
    const raw = new SqliteDatabase(path);
    raw.exec(spoil);
    raw.close();
    const before = hashOf(path);
    assert.throws(() => openDatabase(path, [engineSet]), { code: 'database_newer' });
    assert.equal(hashOf(path), before);
  }
});

test('a damaged or foreign file is refused by name and left as it was', (t) => {
  const folder = tempFolder(t);
  const text = join(folder, 'notes.txt');
  writeFileSync(text, 'these are my notes, not a database\n');
  const foreign = join(folder, 'foreign.db');
  const other = new SqliteDatabase(foreign);
  other.exec('CREATE TABLE somebody_elses (x)');
  other.close();
  const damaged = join(folder, 'damaged.db');
  openDatabase(damaged, [engineSet]).close();
  const bytes = readFileSync(damaged);
  bytes.fill(0xff, 4096, 12_288);
  writeFileSync(damaged, bytes);
  for (const [path, code] of [
    [text, 'database_corrupt'],
    [foreign, 'database_foreign'],
    [damaged, 'database_corrupt'],
  ] as const) {
    const before = hashOf(path);
    assert.throws(() => openDatabase(path, [engineSet]), { code, subject: path });
    assert.equal(hashOf(path), before, path);
  }
});

test('the drizzle schema is the migrated tables', (t) => {
  const db = openDatabase(join(tempFolder(t), 'x.db'), [engineSet]);
  for (const table of Object.values(schema)) {
    const name = orm.getTableName(table);
    const real = db.pragma(`table_info(${name})`) as {
      name: string;
      type: string;
      notnull: number;
      pk: number;
    }[];
    const declared = Object.values(orm.getTableColumns(table)).map((column) => [
      column.name,
      column.getSQLType(),
    ]);
    assert.deepEqual(
      declared,
      real.map((column) => [column.name, column.type.toLowerCase()]),
      name,
    );
    const { strict } = db.prepare('SELECT strict FROM pragma_table_list WHERE name = ?').get(name) as {
      strict: number;
    };
    assert.equal(strict, 1, `${name} is not STRICT`);
  }
  db.close();
});

test('eight processes open and migrate one fresh file at once', async (t) => {
  const path = join(tempFolder(t), 'x.db');
  const code = `
    const { openDatabase, write } = await import('#db/open');
    const { engineSet } = await import('#db/engine/index');
    const db = openDatabase(process.argv[1], [engineSet]);
    for (let n = 0; n < 20; n++) write(db, () => db.prepare("INSERT INTO queues (name, places) VALUES (?, 1)").run(process.pid + '-' + n));
    db.close();`;
  const exits = await Promise.all(
    Array.from({ length: 8 }, () => {
      const child = spawn(process.execPath, ['--input-type=module', '-e', code, path], { stdio: 'inherit' });
      return new Promise((resolve) => child.once('exit', resolve));
    }),
  );
  assert.deepEqual(exits, Array(8).fill(0));
  const db = openDatabase(path, [engineSet]);
  assert.equal(db.prepare('SELECT count(*) AS n FROM queues').pluck().get(), 160);
  db.close();
});

test('a write that throws leaves nothing behind', (t) => {
  const db = openDatabase(join(tempFolder(t), 'x.db'), [engineSet]);
  assert.throws(
    () =>
      write(db, () => {
        db.exec("INSERT INTO queues (name, places) VALUES ('q', 1)");
        throw new Error('changed my mind');
      }),
    /changed my mind/,
  );
  assert.equal(db.prepare('SELECT count(*) AS n FROM queues').pluck().get(), 0);
  db.close();
});

test('a file that was cut, or whose header lies, is refused and left as it was', (t) => {
  const folder = tempFolder(t);
  const whole = join(folder, 'whole.db');
  openDatabase(whole, [engineSet]).close();
  const bytes = readFileSync(whole);
  const header = Buffer.from(bytes).fill(0x55, 18, 100);
  for (const [name, content] of [
    ['a few bytes', bytes.subarray(0, 10)],
    ['the header alone', bytes.subarray(0, 100)],
    ['half of it', bytes.subarray(0, Math.floor(bytes.length / 4096 / 2) * 4096)],
    ['not all of the last page', bytes.subarray(0, bytes.length - 1000)],
    ['the header', header],
  ] as const) {
    const path = join(folder, `${name}.db`);
    writeFileSync(path, content);
    for (const readonly of [false, true])
      assert.throws(() => openDatabase(path, [engineSet], { readonly }), { code: 'database_corrupt' }, name);
    assert.deepEqual(readFileSync(path), content, name);
  }
});

test('a lock that stays is told with the file, after the wait that was asked for', (t) => {
  const path = join(tempFolder(t), 'x.db');
  openDatabase(path, [engineSet]).close();
  const other = new SqliteDatabase(path);
  other.pragma('locking_mode = EXCLUSIVE');
  other.exec('BEGIN EXCLUSIVE');
  for (const readonly of [false, true])
    assert.throws(() => openDatabase(path, [engineSet], { readonly, waitMs: 50 }), {
      code: 'database_busy',
      kind: 'recoverable',
      subject: path,
    });
  other.exec('ROLLBACK');
  other.close();
  openDatabase(path, [engineSet]).close();
});
