import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { assign, setup } from 'xstate';
import { defineMachine, type EngineOptions, openEngine } from '#engine/index';
import { createClock, memoryLocks } from '#engine/testing/index';
import { tempFolder } from '../support/engine.ts';

/** Counts what it is sent; each event is a commit. */
const machine = setup({
  types: { context: {} as { count: number }, events: {} as { type: 'count' } | { type: 'end' } },
  actions: { count: assign({ count: ({ context }) => context.count + 1 }) },
}).createMachine({
  id: 'tally',
  context: { count: 0 },
  initial: 'counting',
  states: { counting: { on: { count: { actions: 'count' }, end: 'ended' } }, ended: { type: 'final' } },
});
const tally = defineMachine({ name: 'tally', version: 1, machine, actors: {} });
const input = {} as never;
const day = 24 * 3600_000;

function scene(t: TestContext) {
  const path = join(tempFolder(t), 'engine.db');
  const clock = createClock();
  const locks = memoryLocks({ now: () => clock.now() });
  return {
    clock,
    open(name: string, options: Partial<EngineOptions>) {
      const engine = openEngine({
        ...{ db: path, machines: [tally], owners: locks.owners, system: clock.process(name) },
        ...options,
      });
      const count = async (id: string, many: number) => {
        for (let n = 0; n < many; n++) {
          await engine.send(id, { type: 'count' });
          await clock.advance(1);
        }
      };
      t.after(async () => {
        const closed = engine.close();
        await clock.advance(1000);
        await closed;
      });
      return { engine, count };
    },
    /** Lets the engine take its turns. */
    async patiently<T>(promise: Promise<T>): Promise<T> {
      await clock.advance(100);
      return promise;
    },
  };
}

test('a history is cut at a whole snapshot, and what is left can be rebuilt', async (t) => {
  const { open, patiently, clock } = scene(t);
  const { engine, count } = open('a', { retention: { historyRowsMax: 30 } });
  const { id } = await engine.start(tally, { input });
  await clock.advance(1);
  await count(id, 119);
  const before = engine.history(id);
  const snapshots = before.map(({ seq }) => engine.snapshotAt(id, seq));
  assert.equal(before.length, 120);
  assert.deepEqual(await patiently(engine.compact()), { runs: 0, rows: 49 });
  assert.deepEqual(engine.history(id), before.slice(49), 'from the whole snapshot at 50 on');
  assert.deepEqual(
    engine.history(id).map(({ seq }) => engine.snapshotAt(id, seq)),
    snapshots.slice(49),
  );
  assert.throws(() => engine.snapshotAt(id, 49), { code: 'run_not_found', hint: /from 50 on/ });
  assert.deepEqual(await patiently(engine.compact()), { runs: 0, rows: 0 });
  await count(id, 30);
  assert.deepEqual(await patiently(engine.compact()), { runs: 0, rows: 50 });
  assert.deepEqual([engine.history(id)[0]?.seq, engine.history(id).length], [100, 51]);
});

test('runs that ended long ago are deleted, others are not', async (t) => {
  const { open, patiently, clock } = scene(t);
  const { engine } = open('a', { retention: { endedForMs: day } });
  const end = async (id: string) => {
    await engine.start(tally, { input, id });
    await engine.send(id, { type: 'end' });
    await clock.advance(10);
  };
  await engine.start(tally, { input, id: 'live' });
  for (let n = 0; n < 120; n++) await end(`old-${n}`);
  clock.moveTo(clock.now() + 2 * day);
  await end('new');
  // By itself: something happened, and the last time is long ago.
  await clock.advance(100);
  assert.deepEqual(
    engine.runs().map(({ id }) => id),
    ['live', 'new'],
  );
  assert.deepEqual(await patiently(engine.compact()), { runs: 0, rows: 0 });
  assert.equal(engine.history('new').length, 2);
});

test('without retention nothing is deleted', async (t) => {
  const { open, patiently, clock } = scene(t);
  const { engine } = open('a', {});
  await engine.start(tally, { input, id: 'x' });
  await engine.send('x', { type: 'end' });
  await clock.advance(10);
  clock.moveTo(clock.now() + 1000 * day);
  assert.deepEqual(await patiently(engine.compact()), { runs: 0, rows: 0 });
  assert.equal(engine.history('x').length, 2);
});

test('a history beyond the limit parks the run; compacted and retried it goes on where it was', async (t) => {
  const { open, patiently, clock } = scene(t);
  const limits = { historyRowsMax: 70 };
  const { engine, count } = open('a', { limits });
  const compacting = open('b', { retention: { historyRowsMax: 10 } });
  const { id } = await engine.start(tally, { input });
  await clock.advance(1);
  await count(id, 80);
  const { status, error } = engine.run(id);
  assert.deepEqual([status, error?.code], ['parked', 'history_too_long']);
  assert.match(error?.hint ?? '', /handoff/);
  assert.deepEqual(engine.snapshotAt(id, 71), engine.snapshotAt(id, 70), 'it was parked as it was');
  assert.equal((await patiently(compacting.engine.compact())).rows, 49);
  await engine.retry(id);
  await clock.advance(100);
  assert.equal(engine.run(id).status, 'waiting');
  const { context } = engine.snapshotAt(id, engine.history(id).at(-1)?.seq ?? 0) as {
    context: { count: number };
  };
  assert.equal(context.count, 80, 'nothing that was sent is lost');
});

test('a snapshot beyond the limit parks the run', async (t) => {
  const { open, clock } = scene(t);
  const { engine } = open('a', { limits: { snapshotBytesMax: 60 } });
  const { id } = await engine.start(tally, { input });
  await clock.advance(10);
  assert.equal(engine.run(id).error?.code, 'snapshot_too_large');
});

test('a retention that makes no sense is refused', () => {
  for (const retention of [{ endedForMs: -1 }, { historyRowsMax: 0 }, { historyRowsMax: Number.NaN }])
    assert.throws(() => openEngine({ db: ':memory:', machines: [], retention }), { code: 'usage' });
});
