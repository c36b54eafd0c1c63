import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recoverable } from '#core/errors';
import { endless, failing, type Step, stepsOf } from './fsm-steps.ts';
import { laboratory } from './laboratory.ts';

// Faults that were found in superfly/fsm and that flyd must not have: cancelling, closing, waiting, looking.

const on = (resource: string) => ({ id: resource, input: { resource } });
const byResource = ({ resource }: { resource: string }): string => resource;

test('fsm 5: waiting for a failed run says so, also when a newer run has its key', async (t) => {
  const { boot, clock } = laboratory(t);
  let fail = true;
  const first: Step = (given) => (fail ? failing(given) : Promise.resolve(null));
  const { engine, machine } = parts(boot('p1', [stepsOf('make', [], { first }, { key: byResource })]));
  const old = await engine.start(machine('make'), { input: { resource: 'r' } });
  await clock.advance(10);
  fail = false;
  const young = await engine.start(machine('make'), { input: { resource: 'r' } });
  await clock.advance(10);
  const [failed, done] = [await engine.wait(old.id), await engine.wait(young.id)];
  assert.deepEqual([failed.status, failed.error?.code, done.status], ['failed', 'no_space', 'done']);
  assert.deepEqual(
    engine.history(old.id).map(({ event }) => event),
    ['xstate.init', 'xstate.error.actor.first'],
  );
});

test('fsm 6: a run that never was is an error and no success, and history is there while and after', async (t) => {
  const { boot, clock } = laboratory(t);
  const { engine, machine } = parts(boot('p1', [stepsOf('make', [])]));
  await assert.rejects(engine.wait('nobody'), { code: 'run_not_found' });
  assert.throws(() => engine.history('nobody'), { code: 'run_not_found' });
  await assert.rejects(
    engine.start(machine('make'), {
      ...on('follower'),
      after: { run: 'nobody', when: 'ended', otherwise: 'cancel' },
    }),
    { code: 'run_not_found' },
  );
  await engine.start(machine('make'), on('a'));
  await clock.advance(10);
  const events = engine.history('a').length;
  await clock.advance(24 * 3_600_000);
  assert.equal(engine.history('a').length, events);
  assert.equal((await engine.wait('a')).status, 'done');
});

const waits = [
  ['for its time', { delayMs: 3_600_000 }],
  ['for another run', { after: { run: 'busy', when: 'done', otherwise: 'cancel' } }],
  ['for a place', { queue: 'jobs' }],
] as const;
for (const [why, wish] of waits)
  test(`fsm 7: a run that waits ${why} can be cancelled, and holds up no close`, async (t) => {
    const { boot, clock } = laboratory(t);
    const ran: string[] = [];
    const busy = stepsOf('busy', [], { first: endless });
    const process = boot('p1', [stepsOf('make', ran), busy], {}, { jobs: 1 });
    const { engine, machine } = parts(process);
    await engine.start(machine('busy'), { ...on('busy'), queue: 'jobs' });
    for (const resource of ['a', 'b']) await engine.start(machine('make'), { ...on(resource), ...wish });
    await clock.advance(10);
    await engine.cancel('a', { reason: 'changed my mind' });
    await clock.advance(10);
    assert.deepEqual([engine.run('a').status, engine.run('b').status], ['cancelled', 'waiting']);
    const before = clock.now();
    const closed = process.close();
    await clock.advance(0);
    await closed;
    assert.equal(clock.now(), before, 'closing takes no time');
    const next = boot('p2', [stepsOf('make', ran), busy], {}, { jobs: 1 });
    await next.engine.resume();
    await clock.advance(10);
    assert.equal(next.engine.run('b').status, 'waiting');
    assert.deepEqual(ran, []);
  });

test('fsm 8: closing waits for the step under way, and nothing is written after', async (t) => {
  const { boot, clock, rows } = laboratory(t);
  let stopped = false;
  const winding: Step = ({ signal }) =>
    new Promise((_, reject) =>
      signal.addEventListener('abort', () =>
        clock.process('outside').setTimer(() => {
          stopped = true;
          reject(signal.reason);
        }, 800),
      ),
    );
  const process = boot('p1', [stepsOf('make', [], { first: winding }, { queue: 'jobs' })], {}, { jobs: 1 });
  await process.engine.start(process.machine('make'), on('a'));
  await clock.advance(10);
  let closed = false;
  const closing = process.close().then(() => {
    closed = true;
  });
  await clock.advance(799);
  assert.deepEqual([stopped, closed], [false, false]);
  await clock.advance(10);
  await closing;
  assert.equal(stopped, true);
  const before = rows('SELECT * FROM transitions');
  await clock.advance(10_000);
  assert.deepEqual(rows('SELECT * FROM transitions'), before);
});

test('fsm 9: starting another machine on a resource wakes nobody who waits for the first', async (t) => {
  const { boot, clock } = laboratory(t);
  const machines = [
    stepsOf('create', [], { first: endless }, { key: byResource }),
    stepsOf('destroy', [], { first: endless }, { key: byResource }),
  ];
  const { engine, machine } = parts(boot('p1', machines));
  const { id } = await engine.start(machine('create'), { input: { resource: 'r' } });
  let woke = false;
  const stop = new AbortController();
  const waiting = engine.wait(id, { signal: stop.signal }).then(
    () => {
      woke = true;
    },
    () => {},
  );
  await engine.start(machine('destroy'), { input: { resource: 'r' } });
  await clock.advance(1000);
  assert.equal(woke, false);
  assert.deepEqual(
    engine.runs({ live: true }).map((run) => run.machine),
    ['create', 'destroy'],
  );
  stop.abort();
  await waiting;
});

test('fsm 11: a cancel between attempts is stored with its reason, and what undoes it is not aborted', async (t) => {
  const { boot, clock } = laboratory(t);
  const shaky: Step = async () => {
    throw recoverable('source_unavailable', 'again');
  };
  const signals: boolean[] = [];
  const undo: Step = async ({ signal }) => signals.push(signal.aborted);
  const retry = { recoverable: { attemptsMax: 9, pauseMs: 60_000, pauseMsMax: 60_000 } };
  const definition = { ...stepsOf('make', [], { first: shaky, undo }), effects: { first: { retry } } };
  const { engine, machine } = parts(boot('p1', [definition]));
  await engine.start(machine('make'), on('a'));
  await clock.advance(10);
  assert.equal(engine.run('a').attempts, 1);
  await engine.cancel('a', { reason: 'the customer left' });
  await clock.advance(10);
  const { status, state } = engine.run('a');
  assert.deepEqual([status, state, signals], ['cancelled', 'cancelled', [false]]);
  const cancelled = engine.history('a').find(({ event }) => event === 'flyd.cancel');
  assert.deepEqual([cancelled?.from, cancelled?.to], ['first', 'undoing']);
});

test('fsm 11: a cancel that came while a step ended well survives a crash', async (t) => {
  const { boot, clock } = laboratory(t);
  const ran: string[] = [];
  let end: (() => void) | undefined;
  const deaf: Step = () =>
    new Promise((resolve) => {
      end = () => resolve(null);
    });
  const first = boot('p1', [stepsOf('make', ran, { first: deaf })]);
  await first.engine.start(first.machine('make'), on('a'));
  await clock.advance(10);
  await first.engine.cancel('a');
  end?.();
  first.die();
  const second = boot('p2', [stepsOf('make', ran, { first: endless })]);
  await second.engine.resume();
  await clock.advance(10);
  assert.equal(second.engine.run('a').status, 'cancelled');
  assert.equal(ran.at(-1), 'make/a/undo');
  assert.ok(!ran.includes('make/a/second'));
});

test('fsm 12: looking for one run finds no other, and live ones are those that live', async (t) => {
  const { boot, clock } = laboratory(t);
  const steps = {
    first: (given: Parameters<Step>[0]) =>
      given.input.resource === 'm1' ? endless(given) : Promise.resolve(null),
  };
  const { engine, machine } = parts(boot('p1', [stepsOf('make', [], steps, { key: byResource })]));
  for (const resource of ['m1', 'm10']) await engine.start(machine('make'), on(resource));
  await clock.advance(10);
  assert.deepEqual(
    engine.runs({ key: 'm1' }).map(({ id }) => id),
    ['m1'],
  );
  assert.deepEqual(
    engine.runs({ id: 'm1' }).map(({ id }) => id),
    ['m1'],
  );
  assert.deepEqual(
    engine.runs({ live: true }).map(({ id }) => id),
    ['m1'],
  );
  assert.deepEqual(
    engine.runs({ live: false }).map(({ id }) => id),
    ['m10'],
  );
});

test('fsm 13: a look at a running run shows its state, attempts, error and next try', async (t) => {
  const { boot, clock } = laboratory(t);
  const shaky: Step = async () => {
    throw recoverable('source_unavailable', 'not yet');
  };
  const retry = { recoverable: { attemptsMax: 9, pauseMs: 60_000, pauseMsMax: 60_000 } };
  const definition = { ...stepsOf('make', [], { second: shaky }), effects: { second: { retry } } };
  const { engine, machine } = parts(boot('p1', [definition]));
  await engine.start(machine('make'), on('a'));
  await clock.advance(10);
  const { status, state, attempts, error, nextAt } = engine.run('a');
  assert.deepEqual([status, state, attempts, error?.message], ['running', 'second', 1, 'not yet']);
  assert.ok((nextAt ?? 0) > clock.now());
});

const parts = (process: ReturnType<ReturnType<typeof laboratory>['boot']>) => ({
  engine: process.engine,
  machine: (name: string) => process.machine(name),
});
