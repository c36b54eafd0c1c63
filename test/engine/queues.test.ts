import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openEngine } from '#engine/engine';
import { isTerminal, type Json, type Queues, type StartOptions } from '#engine/index';
import { input, laboratory, one } from './laboratory.ts';

/** A machine whose runs end when they are told, and the processes that move them through the queue `q`. */
function scene(t: Parameters<typeof laboratory>[0], queue: Queues[string]) {
  const begun: string[] = [];
  const finish = new Map<string, () => void>();
  const machine = one(({ effectId, signal }) => {
    const run = effectId.slice(0, effectId.indexOf('/'));
    begun.push(run);
    return new Promise<Json>((resolve, reject) => {
      finish.set(run, () => resolve(null));
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  });
  const { boot, clock } = laboratory(t);
  const open = (name: string) => boot(name, [machine], {}, { q: queue });
  const start = async (
    { engine }: ReturnType<typeof open>,
    id: string,
    options: Partial<StartOptions> = {},
  ) => {
    await engine.start(machine, { input, id, queue: 'q', ...options } as never);
    await clock.advance(30);
  };
  const end = async (...runs: string[]) => {
    for (const run of runs) {
      finish.get(run)?.();
      await clock.advance(300);
    }
  };
  return { begun, clock, open, start, end };
}

test('a free place goes to the highest priority, the oldest among equals, in two processes', async (t) => {
  const { begun, open, start, end } = scene(t, 1);
  const [a, b] = [open('a'), open('b')];
  await start(a, 'first');
  await start(a, 'low', { priority: -1 });
  await start(a, 'older');
  await start(b, 'younger');
  await start(b, 'high', { priority: 7 });
  assert.deepEqual(a.engine.run('high').waitsFor, [{ for: 'queue', queue: 'q' }]);
  for (let place = 0; place < 5; place++) await end(...begun.slice(-1));
  assert.deepEqual(begun, ['first', 'high', 'older', 'younger', 'low']);
});

test('a fifo queue knows no priorities', async (t) => {
  const { begun, open, start, end } = scene(t, { places: 1, order: 'fifo' });
  const [a, b] = [open('a'), open('b')];
  await start(a, 'first');
  await start(b, 'second');
  await start(a, 'third', { priority: 9 });
  for (let place = 0; place < 3; place++) await end(...begun.slice(-1));
  assert.deepEqual(begun, ['first', 'second', 'third']);
});

test('priorities and places are kept over a restart of everybody', async (t) => {
  const { begun, open, start, end, clock } = scene(t, 2);
  const a = open('a');
  for (let n = 0; n < 5; n++) await start(a, `run-${n}`, { priority: n });
  assert.deepEqual(begun, ['run-0', 'run-1']);
  a.die();
  begun.length = 0;
  const b = open('b');
  await b.engine.resume();
  await clock.advance(100);
  // Those that had their places, and nobody else: superfly/fsm starts all five at once here.
  assert.deepEqual(begun.toSorted(), ['run-0', 'run-1']);
  await end('run-0', 'run-1', 'run-4', 'run-3', 'run-2');
  assert.deepEqual(begun.slice(2), ['run-4', 'run-3', 'run-2']);
});

test("runs of a dead owner wait in nobody's way, and its places are not lost", async (t) => {
  const { begun, open, start, clock } = scene(t, 1);
  const [a, b] = [open('a'), open('b')];
  await start(a, 'placed');
  await start(a, 'before', { priority: 5 });
  a.die();
  await start(b, 'mine');
  await clock.advance(1000);
  // The place is free when its run has been carried on: b does it, for it wants the place.
  assert.deepEqual(begun, ['placed', 'placed']);
  assert.equal(b.engine.run('placed').owner, b.token);
  await b.engine.cancel('placed');
  await clock.advance(1000);
  assert.deepEqual(begun.slice(2), ['mine']);
  assert.equal(b.engine.run('before').status, 'waiting');
});

test('a stuck owner in front is passed over', async (t) => {
  const { begun, open, start, clock } = scene(t, 1);
  const [a, b] = [open('a'), open('b')];
  await start(b, 'placed');
  await start(a, 'before', { priority: 5 });
  await start(b, 'mine');
  a.freeze();
  await clock.advance(60_000);
  await b.engine.cancel('placed');
  await clock.advance(1000);
  assert.deepEqual(begun, ['placed', 'mine']);
});

test('keepNewest: of those that wait only the newest stay', async (t) => {
  const { begun, open, start, end } = scene(t, { places: 1, keepNewest: 2 });
  const [a, b] = [open('a'), open('b')];
  for (const [n, process] of [a, b, a, b, a].entries()) await start(process, `run-${n}`);
  const statuses = a.engine.runs().map(({ id, status, error }) => [id, status, error?.code]);
  assert.deepEqual(statuses, [
    ['run-0', 'running', undefined],
    ['run-1', 'cancelled', 'superseded'],
    ['run-2', 'cancelled', 'superseded'],
    ['run-3', 'waiting', undefined],
    ['run-4', 'waiting', undefined],
  ]);
  await end('run-0', 'run-3', 'run-4');
  assert.deepEqual(begun, ['run-0', 'run-3', 'run-4']);
  assert.ok(a.engine.runs().every(({ status }) => isTerminal(status)));
});

test('a queue of no places is refused', (t) => {
  for (const queue of [0, -1, 1.5, { places: 1, keepNewest: 0 }])
    assert.throws(() => scene(t, queue).open('a'), { code: 'usage' });
  assert.throws(() => openEngine({ db: ':memory:', machines: [], queues: { q: 0 } }), { code: 'usage' });
});
