import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sqliteError } from '#engine/testing/index';
import { input, laboratory, one } from './laboratory.ts';

const atOnce = 20;

/** A process with one machine of one effect, and how many transactions it has committed. */
function counting(t: Parameters<typeof laboratory>[0]) {
  const { boot, clock } = laboratory(t);
  const seen = { commits: 0, fails: 0 };
  const machine = one();
  const { engine } = boot('a', [machine], {
    commit(_, commit) {
      seen.commits += 1;
      if (seen.fails-- > 0) throw sqliteError('SQLITE_FULL');
      commit();
    },
  });
  const startMany = () => Array.from({ length: atOnce }, () => engine.start(machine, { input }));
  return { engine, machine, clock, seen, startMany };
}

test('runs that are started at once are stored by one commit, and moved by one', async (t) => {
  const { engine, machine, clock, seen, startMany } = counting(t);
  await engine.start(machine, { input });
  await clock.advance(1000);
  seen.commits = 0;
  const started = await Promise.all(startMany());
  assert.equal(seen.commits, 1);
  for (const { id } of started) assert.deepEqual(events(engine.history(id)), ['xstate.init']);
  await clock.advance(1000);
  assert.equal(seen.commits, 2);
  for (const { id } of started) {
    assert.equal(engine.run(id).status, 'done');
    assert.deepEqual(events(engine.history(id)), ['xstate.init', 'xstate.done.actor.work']);
  }
});

test('a key that is asked for twice at once is one run, which has begun once', async (t) => {
  const { engine, machine, clock } = counting(t);
  const wish = { input, key: 'same' };
  const [first, second] = await Promise.all([engine.start(machine, wish), engine.start(machine, wish)]);
  assert.deepEqual(second, { id: first.id, joined: true });
  await clock.advance(1000);
  assert.equal(engine.run(first.id).status, 'done');
  assert.equal(engine.runs().length, 1);
  assert.equal(engine.history(first.id).length, 2);
});

test('starts whose commit fails are told so, and leave nothing behind', async (t) => {
  const { engine, machine, clock, seen, startMany } = counting(t);
  await engine.start(machine, { input });
  await clock.advance(1000);
  seen.fails = 1;
  const outcomes = await Promise.allSettled(startMany());
  for (const outcome of outcomes) {
    assert.equal(outcome.status, 'rejected');
    assert.equal((outcome.reason as { code?: string }).code, 'no_space');
  }
  assert.equal(engine.runs().length, 1);
  const { id } = await engine.start(machine, { input });
  await clock.advance(1000);
  assert.equal(engine.run(id).status, 'done');
});

const events = (history: readonly { event: string }[]): string[] => history.map(({ event }) => event);
