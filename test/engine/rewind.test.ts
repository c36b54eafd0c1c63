import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unrecoverable } from '#core/errors';
import type { Engine } from '#engine/index';
import { laboratory } from './laboratory.ts';
import { journey, trip, voyage } from './trip.ts';

const input = { who: 'kim' };
const fails = async (): Promise<null> => {
  throw unrecoverable('no_space', 'no room');
};
const hang = (signal: AbortSignal): Promise<null> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
const eventsOf = (engine: Engine, id: string): string[] => engine.history(id).map(({ event }) => event);
const seqOf = (engine: Engine, id: string, state: string): number =>
  engine.history(id).find(({ to }) => to === state)?.seq ?? assert.fail(`never ${state}`);

test('a run that failed is live again from the moment before, with new effect ids', async (t) => {
  const { boot, clock } = laboratory(t);
  let broken = true;
  const ids: string[] = [];
  const definition = trip({
    pack: async ({ effectId, attempt }) => {
      ids.push(`${effectId} ${attempt}`);
      return broken ? fails() : null;
    },
  });
  const { engine } = boot('A', [definition]);
  const { id } = await engine.start(definition, { input });
  await clock.advance(100);
  await engine.send(id, { type: 'yes' });
  await clock.advance(100);
  assert.equal(engine.run(id).status, 'failed');
  broken = false;
  await engine.retry(id);
  assert.equal(engine.run(id).endedAt, null);
  await clock.advance(100);
  const { status, error, state } = engine.run(id);
  assert.deepEqual([status, error, state], ['done', null, 'arrived']);
  assert.equal(eventsOf(engine, id).filter((event) => event === 'flyd.reset').length, 1);
  assert.equal(ids.length, 2);
  assert.notEqual(ids[0], ids[1]);
  assert.equal((engine.snapshotAt(id, seqOf(engine, id, 'asking')) as { value: string }).value, 'asking');
});

test('a run that failed by way of compensation goes back only to where somebody says', async (t) => {
  const { boot, clock } = laboratory(t);
  let broken = true;
  const done: string[] = [];
  const definition = trip({
    travel: async () => (broken ? fails() : null),
    unbook: async () => {
      done.push('unbooked');
      return null;
    },
  });
  const { engine } = boot('A', [definition]);
  const { id } = await engine.start(definition, { input });
  await clock.advance(100);
  await engine.send(id, { type: 'yes' });
  await clock.advance(100);
  assert.equal(engine.run(id).status, 'failed');
  await assert.rejects(engine.retry(id), { code: 'reset_refused', message: /compensation/ });
  // Packing was finished since: it would be done twice.
  await assert.rejects(engine.retry(id, { from: seqOf(engine, id, 'packing') }), {
    code: 'reset_refused',
    message: /'pack'.*twice/,
  });
  await assert.rejects(engine.retry(id, { from: seqOf(engine, id, 'failed') }), { code: 'reset_refused' });
  await assert.rejects(engine.retry(id, { from: 99 }), { code: 'run_not_found' });
  broken = false;
  await engine.retry(id, { from: seqOf(engine, id, 'travelling') });
  await clock.advance(100);
  assert.equal(engine.run(id).status, 'done');
  await assert.rejects(engine.retry(id), { code: 'run_not_active' });
  assert.deepEqual(done, ['unbooked']);
});

test('a live run is set back: what it has under way stops first, deadlines have the time left that they had', async (t) => {
  const { boot, clock } = laboratory(t);
  const seen: string[] = [];
  let release = (): void => {};
  const definition = trip({
    pack: ({ signal }) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => seen.push('stop'));
        release = () => resolve(null);
      }),
    unbook: async () => {
      seen.push('unbook');
      return null;
    },
  });
  const { engine } = boot('A', [definition]);
  const { id } = await engine.start(definition, { input });
  await clock.advance(50_000);
  await engine.send(id, { type: 'yes' });
  await clock.advance(100);
  assert.equal(engine.run(id).state, 'packing');
  const late = release;
  await engine.retry(id, { from: seqOf(engine, id, 'asking') });
  await clock.advance(100);
  assert.deepEqual([engine.run(id).state, seen], ['asking', ['stop']]);
  late();
  await clock.advance(59_000);
  assert.equal(engine.run(id).state, 'asking', 'the result of what was given up changes nothing');
  await clock.advance(2_000);
  assert.deepEqual([engine.run(id).status, seen], ['failed', ['stop', 'unbook']]);
});

test('a parked run is set back by another process, and its owner, or who takes it over, does it', async (t) => {
  const { boot, clock } = laboratory(t);
  const definition = trip({
    pack: async () => {
      throw new Error('a bug');
    },
  });
  const owner = boot('A', [definition]);
  const { engine } = boot('B', [definition]);
  const { id } = await owner.engine.start(definition, { input });
  for (const dies of [false, true]) {
    await clock.advance(100);
    await engine.send(id, { type: 'yes' });
    await clock.advance(100);
    assert.equal(engine.run(id).status, 'parked');
    if (dies) owner.die();
    await engine.retry(id, { from: seqOf(engine, id, 'asking') });
    await clock.advance(1000);
    assert.deepEqual([engine.run(id).status, engine.run(id).state], ['waiting', 'asking']);
    assert.equal(engine.run(id).owner, dies ? engine.token : owner.token);
  }
});

test('a run that moves on before it can be set back stays where it is, and says so', async (t) => {
  const { boot, clock } = laboratory(t);
  const definition = trip();
  const { engine } = boot('A', [definition]);
  const { id } = await engine.start(definition, { input });
  await clock.advance(100);
  await engine.send(id, { type: 'yes' });
  await engine.retry(id, { from: seqOf(engine, id, 'asking') });
  await clock.advance(100);
  assert.equal(engine.run(id).status, 'done');
  const refused = engine.history(id).find(({ event }) => event === 'flyd.reset.refused');
  assert.equal(refused?.error?.code, 'reset_refused');
});

test('the key of a run that failed may have a new owner: then it stays as it is', async (t) => {
  const { boot, clock } = laboratory(t);
  const definition = trip({ book: fails });
  const { engine } = boot('A', [definition]);
  const { id } = await engine.start(definition, { input });
  await clock.advance(100);
  const other = boot('B', [trip()]).engine;
  const live = await other.start(trip(), { input });
  await clock.advance(100);
  await assert.rejects(engine.retry(id), { code: 'run_conflict', subject: live.id });
  assert.equal(engine.run(id).status, 'failed');
});

test('being set back is forgotten compensation: the run can be cancelled again', async (t) => {
  const { boot, clock } = laboratory(t);
  let broken = true;
  const definition = trip({ unbook: async () => (broken ? Promise.reject(new Error('a bug')) : null) });
  const { engine } = boot('A', [definition]);
  const { id } = await engine.start(definition, { input });
  await clock.advance(100);
  await engine.cancel(id);
  await clock.advance(100);
  assert.deepEqual([engine.run(id).status, engine.run(id).state], ['parked', 'unbooking']);
  broken = false;
  await engine.retry(id, { from: seqOf(engine, id, 'asking') });
  await clock.advance(1000);
  assert.equal(engine.run(id).state, 'asking');
  await engine.cancel(id);
  await clock.advance(1000);
  assert.equal(engine.run(id).state, 'failed');
});

test('a child run that was under way then is started anew, or is the same when it is still there', async (t) => {
  const { boot, clock } = laboratory(t);
  let broken = true;
  const child = trip({ book: async () => (broken ? fails() : null) });
  const definition = journey(child, async ({ signal }) => hang(signal));
  const { engine } = boot('A', [definition]);
  const { id } = await engine.start(definition, { input: {} as never });
  await clock.advance(100);
  assert.equal(engine.run(id).status, 'failed');
  broken = false;
  await engine.retry(id);
  await clock.advance(100);
  const trips = () => engine.runs({ machine: 'trip' }).map(({ status }) => status);
  assert.deepEqual(trips(), ['failed', 'waiting']);
  await engine.retry(id, { from: seqOf(engine, id, 'there') });
  await clock.advance(1000);
  assert.deepEqual(trips(), ['failed', 'waiting'], 'it has the same key: the run joins it again');
  const [link] = engine.children(id);
  await engine.send(link?.run.id ?? '', { type: 'yes' });
  await clock.advance(100);
  assert.deepEqual([engine.run(id).state, trips()], ['resting', ['failed', 'done']]);
  // Its result was taken: to start it again would do it twice.
  await assert.rejects(engine.retry(id, { from: seqOf(engine, id, 'there') }), { code: 'reset_refused' });
});

test('a child run that the past does not know is let go', async (t) => {
  const { boot, clock } = laboratory(t);
  const definition = voyage(trip());
  const { engine } = boot('A', [definition]);
  const { id } = await engine.start(definition, { input: {} as never });
  await clock.advance(100);
  await engine.send(id, { type: 'go' });
  await clock.advance(100);
  assert.equal(engine.runs({ machine: 'trip', live: true }).length, 1);
  await engine.retry(id, { from: 1 });
  await clock.advance(1000);
  assert.equal(engine.run(id).state, 'home');
  assert.equal(engine.runs({ machine: 'trip', live: true }).length, 0);
});

test('a run that is brought back needs a place of its queue', async (t) => {
  const { boot, clock } = laboratory(t);
  let broken = true;
  let finish = (): void => {};
  const definition = trip({
    book: async () => {
      if (broken) return fails();
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      return fails();
    },
  });
  const { engine } = boot('A', [definition], {}, { gate: 1 });
  const first = await engine.start(definition, { input, queue: 'gate' });
  await clock.advance(100);
  broken = false;
  const second = await engine.start(definition, { input: { who: 'lee' }, queue: 'gate' });
  await clock.advance(100);
  await engine.retry(first.id);
  await clock.advance(100);
  assert.deepEqual([engine.run(first.id).status, engine.run(second.id).status], ['waiting', 'running']);
  finish();
  await clock.advance(100);
  assert.deepEqual([engine.run(first.id).state, engine.run(second.id).status], ['booking', 'failed']);
  assert.equal(engine.run(first.id).status, 'running');
});

test('a run that was brought back by a process that died is set back by the next', async (t) => {
  const { boot, clock } = laboratory(t);
  let broken = true;
  const definition = trip({ book: async () => (broken ? fails() : null) });
  const first = boot('A', [definition]);
  const { id } = await first.engine.start(definition, { input });
  await clock.advance(100);
  broken = false;
  await first.engine.retry(id);
  first.die();
  const { engine } = boot('B', [definition]);
  await engine.resume();
  await clock.advance(100);
  assert.equal(engine.run(id).state, 'asking');
});

test('a past that this build cannot carry on parks the run, and nothing of it is lost', async (t) => {
  const { boot, clock } = laboratory(t);
  const rude = async (): Promise<null> => {
    throw new Error('a bug');
  };
  const first = boot('A', [trip({ pack: rude })]);
  const { id } = await first.engine.start(trip(), { input });
  await clock.advance(100);
  await first.engine.send(id, { type: 'yes' });
  await clock.advance(100);
  first.die();
  const renamed = trip({ pack: rude }, 'wondering');
  const { engine } = boot('B', [renamed]);
  await engine.resume();
  await engine.retry(id, { from: seqOf(engine, id, 'asking') });
  await clock.advance(1000);
  const { status, state, error } = engine.run(id);
  assert.deepEqual([status, state, error?.code], ['parked', 'packing', 'snapshot_refused']);
});
