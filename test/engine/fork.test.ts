import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine } from '#engine/index';
import { laboratory } from './laboratory.ts';
import { journey, trip } from './trip.ts';

const input = { who: 'kim' };
const seqOf = (engine: Engine, id: string, state: string): number =>
  engine.history(id).find(({ to }) => to === state)?.seq ?? assert.fail(`never ${state}`);

test('a fork goes on from a point of the history by itself, under effect ids of its own', async (t) => {
  const { boot, clock } = laboratory(t);
  const packed: string[] = [];
  const definition = trip({
    pack: async ({ effectId }) => {
      packed.push(effectId);
      return null;
    },
  });
  const { engine } = boot('A', [definition]);
  const { id } = await engine.start(definition, { input, labels: { team: 'red' } });
  await clock.advance(40_000);
  await engine.send(id, { type: 'yes' });
  await clock.advance(100);
  assert.equal(engine.run(id).status, 'done');

  const fork = await engine.fork(id, { seq: seqOf(engine, id, 'asking') });
  await clock.advance(100);
  const { state, forkedFrom, labels, key, waitsFor } = engine.run(fork.id);
  assert.deepEqual([state, key, labels, waitsFor], ['asking', 'kim', { team: 'red' }, []]);
  assert.deepEqual(forkedFrom, { run: id, seq: 2 });
  assert.deepEqual(
    engine.history(fork.id).map(({ seq, event, from, to }) => [seq, event, from, to]),
    [[1, 'flyd.fork', null, 'asking']],
  );
  await engine.send(fork.id, { type: 'yes' });
  await clock.advance(100);
  assert.equal(engine.run(fork.id).status, 'done');
  assert.deepEqual(
    packed.map((effectId) => effectId.split('/')[0]),
    [id, fork.id],
  );
  assert.equal(engine.run(id).forkedFrom, null);
  assert.deepEqual(
    (engine.snapshotAt(fork.id, 1) as { value: string }).value,
    (engine.snapshotAt(id, 2) as { value: string }).value,
  );
});

test('effects and deadlines of the point begin anew in the fork', async (t) => {
  const { boot, clock } = laboratory(t);
  const booked: string[] = [];
  const definition = trip({
    book: async ({ effectId }) => {
      booked.push(effectId);
      return null;
    },
  });
  const { engine } = boot('A', [definition]);
  const { id } = await engine.start(definition, { input });
  await clock.advance(30_000);
  const early = await engine.fork(id, { seq: 1, input: { who: 'lee' } });
  const late = await engine.fork(id, { seq: 2, key: null, id: 'late' });
  assert.equal(late.id, 'late');
  await clock.advance(40_000);
  assert.equal(booked.length, 2);
  assert.deepEqual(
    [id, early.id, late.id].map((run) => engine.run(run).state),
    ['failed', 'asking', 'asking'],
  );
  assert.deepEqual([engine.run(early.id).key, engine.run(early.id).input], ['lee', { who: 'lee' }]);
  await clock.advance(60_000);
  assert.deepEqual(
    [early.id, late.id].map((run) => engine.run(run).state),
    ['failed', 'failed'],
  );
});

test('a fork with a child run under way joins that of its key, or starts one', async (t) => {
  const { boot, clock } = laboratory(t);
  const definition = journey(trip());
  const { engine } = boot('A', [definition]);
  const { id } = await engine.start(definition, { input: {} as never });
  await clock.advance(100);
  const fork = await engine.fork(id, { seq: 1 });
  await clock.advance(100);
  const [child] = engine.children(id);
  assert.equal(engine.children(fork.id)[0]?.run.id, child?.run.id);
  await engine.send(child?.run.id ?? '', { type: 'yes' });
  await clock.advance(100);
  assert.deepEqual([engine.run(id).status, engine.run(fork.id).status], ['done', 'done']);
});

test('a fork whose process dies before it begins is begun by another', async (t) => {
  const { boot, clock } = laboratory(t);
  const definition = trip();
  const first = boot('A', [definition]);
  const { id } = await first.engine.start(definition, { input });
  await clock.advance(100);
  const fork = await first.engine.fork(id, { seq: 2, key: null });
  first.die();
  const { engine } = boot('B', [definition]);
  assert.equal(engine.run(fork.id).state, '');
  await engine.resume();
  await clock.advance(100);
  assert.equal(engine.run(fork.id).state, 'asking');
  assert.equal(engine.history(fork.id).length, 1);
});

test('a fork takes no key that a live run has, no id that there is, and begins at no end', async (t) => {
  const { boot, clock } = laboratory(t);
  const definition = trip();
  const { engine } = boot('A', [definition]);
  const { id } = await engine.start(definition, { input });
  await clock.advance(100);
  await assert.rejects(engine.fork(id, { seq: 2 }), { code: 'run_conflict', subject: id });
  await assert.rejects(engine.fork(id, { seq: 2, key: null, id }), { code: 'run_conflict' });
  await assert.rejects(engine.fork(id, { seq: 9, key: null }), { code: 'run_not_found' });
  await engine.send(id, { type: 'yes' });
  await clock.advance(100);
  await assert.rejects(engine.fork(id, { seq: seqOf(engine, id, 'arrived') }), { code: 'reset_refused' });
  assert.equal(engine.runs({ machine: 'trip' }).length, 1);
});
