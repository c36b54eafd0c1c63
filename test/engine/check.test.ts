import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { assign, setup } from 'xstate';
import { engineSet } from '#db/engine/index';
import { openDatabase } from '#db/open';
import {
  type CheckedRun,
  canGoOn,
  checkDatabase,
  type Definition,
  defineMachine,
  type Json,
} from '#engine/index';
import { tempFolder } from '../support/engine.ts';
import { laboratory } from './laboratory.ts';
import { anything, never } from './xstate/live.ts';

/** One that waits in `waiting` under the name, with what a newer build may have changed. */
function waiting(
  name: string,
  change: { state?: string; version?: number; more?: boolean; migrate?: (snapshot: Json) => Json } = {},
): Definition {
  const state = change.state ?? 'waiting';
  const machine = setup({
    types: { context: {} as { count: number } },
    actors: { work: anything() },
    actions: { count: assign({ count: ({ context }) => context.count + 1 }) },
  }).createMachine({
    id: name,
    context: { count: 0 },
    initial: state,
    states: {
      [state]: {
        invoke: { id: 'work', src: 'work', input: {} },
        on: change.more === true ? { more: { actions: 'count' } } : {},
      },
    },
  });
  return defineMachine({
    name,
    version: change.version ?? 1,
    machine,
    actors: { work: never },
    migrate: change.migrate === undefined ? {} : { 1: change.migrate },
  });
}

const verdicts = (runs: readonly CheckedRun[]) =>
  Object.fromEntries(runs.map(({ id, verdict }) => [id, verdict]));
const hashOf = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

test('before an upgrade: which live runs the new machines can carry on', async (t) => {
  const { boot, clock, path } = laboratory(t);
  const names = ['same', 'wider', 'renamed', 'newer', 'migrated', 'dropped'];
  const old = boot(
    'old',
    names.map((name) => waiting(name)),
  );
  for (const name of names) await old.engine.start(old.machine(name), { id: name, input: {} });
  await clock.advance(1);
  const renaming = (snapshot: Json): Json => ({ ...(snapshot as Record<string, Json>), value: 'resting' });
  const build = [
    waiting('same'),
    waiting('wider', { more: true }),
    waiting('renamed', { state: 'resting' }),
    waiting('newer', { version: 2 }),
    waiting('migrated', { version: 2, state: 'resting', migrate: renaming }),
  ];
  const before = hashOf(path);
  const runs = checkDatabase(path, build);
  assert.deepEqual(verdicts(runs), {
    same: 'same',
    wider: 'fits',
    renamed: 'refused',
    newer: 'refused',
    migrated: 'migrates',
    dropped: 'unknown',
  });
  assert.deepEqual(
    runs.filter(canGoOn).map(({ id }) => id),
    ['same', 'wider', 'migrated'],
  );
  const refused = runs.find(({ id }) => id === 'renamed');
  assert.equal(refused?.error?.code, 'snapshot_refused');
  assert.match(refused?.error?.hint ?? '', /migration/);
  // The owner is alive, and noticed nothing.
  assert.equal(hashOf(path), before);
  await clock.advance(1000);
  assert.equal(old.engine.run('renamed').status, 'running');

  // What was said comes true.
  old.die();
  const next = boot('next', build);
  assert.deepEqual(verdicts(next.engine.check()), verdicts(runs));
  await next.engine.resume();
  await clock.advance(1);
  const status = (id: string): string => next.engine.run(id).status;
  assert.deepEqual(names.map(status), ['running', 'running', 'parked', 'parked', 'running', 'running']);
});

test('a check reads a database of an earlier build, and leaves it as it was', (t) => {
  const path = join(tempFolder(t), 'old.db');
  const earliest = { ...engineSet, migrations: engineSet.migrations.slice(0, 1) };
  assert.ok(earliest.migrations.length < engineSet.migrations.length);
  const db = openDatabase(path, [earliest]);
  const snapshot = { status: 'active', value: 'a', historyValue: {}, context: {}, children: {} };
  db.exec(`INSERT INTO definitions (hash, machine, version, config, created_at) VALUES ('h', 'm', 1, '{}', 0);
    INSERT INTO runs (uid, machine, version, definition, input, status, state, snapshot, seq, created_at, updated_at)
    VALUES ('r', 'm', 1, 'h', '{}', 'waiting', 'a', '${JSON.stringify(snapshot)}', 1, 0, 0)`);
  db.close();
  const before = hashOf(path);
  const machine = setup({}).createMachine({ id: 'm', initial: 'a', states: { a: {} } });
  const m = defineMachine({ name: 'm', version: 1, machine, actors: {} });
  assert.deepEqual(verdicts(checkDatabase(path, [m])), { r: 'fits' });
  assert.equal(hashOf(path), before);
  assert.throws(() => checkDatabase(`${path}.nowhere`, []));
});
