import assert from 'node:assert/strict';
import { test } from 'node:test';
import SqliteDatabase from 'better-sqlite3';
import { setup } from 'xstate';
import { defineMachine, effect, type Json } from '#engine/index';
import { endless, failing, type Resource, stepsOf } from './fsm-steps.ts';
import { laboratory, unknownCommit } from './laboratory.ts';

// Faults that were found in superfly/fsm, a linear workflow library of the same purpose, and that flyd must not
// have; the numbers are those of docs/comparison.md. Here: what a restart makes of runs.

const on = (resource: string) => ({ id: resource, input: { resource } });

test('fsm 1: a run does not inherit, on resume, the steps that another run has finished', async (t) => {
  const { boot, clock } = laboratory(t);
  const ran: string[] = [];
  const onlyA: typeof endless = (given) =>
    given.input.resource === 'a' ? Promise.resolve(1) : endless(given);
  const first = boot('p1', [stepsOf('make', ran, { first: onlyA, second: endless })]);
  for (const resource of ['a', 'b']) await first.engine.start(first.machine('make'), on(resource));
  await clock.advance(1);
  assert.deepEqual([first.engine.run('a').state, first.engine.run('b').state], ['second', 'first']);
  first.die();
  ran.length = 0;
  const second = boot('p2', [stepsOf('make', ran)]);
  await second.engine.resume();
  await clock.advance(10);
  assert.deepEqual(ran.sort(), ['make/a/second', 'make/b/first', 'make/b/second']);
  assert.deepEqual(
    second.engine.runs().map(({ status }) => status),
    ['done', 'done'],
  );
});

test('fsm 2: resuming one machine does not run the steps of another on the same resource', async (t) => {
  const { boot, clock } = laboratory(t);
  const ran: string[] = [];
  const machines = () => [
    stepsOf('create', ran, { first: endless }),
    stepsOf('destroy', ran, { first: endless }),
  ];
  const first = boot('p1', machines());
  await first.engine.start(first.machine('create'), { id: 'c', input: { resource: 'r' } });
  await first.engine.start(first.machine('destroy'), { id: 'd', input: { resource: 'r' } });
  await clock.advance(1);
  first.die();
  ran.length = 0;
  const second = boot('p2', [stepsOf('create', ran), stepsOf('destroy', ran, { first: endless })]);
  await second.engine.resume({ id: 'c' });
  await clock.advance(10);
  assert.deepEqual(ran, ['create/r/first', 'create/r/second']);
  assert.deepEqual([second.engine.run('c').status, second.engine.run('d').status], ['done', 'running']);
  assert.equal(second.engine.run('d').owner, first.token);
});

test('fsm 3: a parent does not stick to later runs, and what has ended is not resumed', async (t) => {
  const { boot, clock } = laboratory(t);
  const ran: string[] = [];
  const child = () => stepsOf('child', ran, {}, { queue: 'jobs' });
  const parent = () =>
    defineMachine({
      name: 'parent',
      version: 1,
      machine: setup({
        types: { input: {} as Resource },
        actors: { child: effect<Resource, Json>() },
      }).createMachine({
        id: 'parent',
        initial: 'waiting',
        states: {
          waiting: { invoke: { id: 'child', src: 'child', input: { resource: 'below' }, onDone: 'over' } },
          over: { type: 'final' },
        },
      }),
      actors: { child: child() as never },
    });
  const first = boot('p1', [parent()], {}, { jobs: 1 });
  await first.engine.start(first.machine('parent'), { id: 'p', input: { resource: 'r' } });
  await clock.advance(50);
  await first.engine.start(first.machine('child'), on('alone'));
  await first.engine.start(first.machine('child'), on('cancelled'));
  await first.engine.cancel('cancelled');
  await clock.advance(50);
  assert.deepEqual(first.engine.run('alone').parents, []);
  assert.equal(first.engine.children('p').length <= 1, true);
  assert.equal(first.engine.runs({ live: true }).length, 0);
  first.die();
  ran.length = 0;
  const second = boot('p2', [parent()], {}, { jobs: 1 });
  assert.deepEqual(await second.engine.resume(), []);
  await clock.advance(1000);
  assert.deepEqual(ran, []);
});

test('fsm 4: a queue of one place lets one run move at once, also after a restart', async (t) => {
  const { boot, clock } = laboratory(t);
  let [at, most] = [0, 0];
  const slow = async () => {
    at += 1;
    most = Math.max(most, at);
    await new Promise((resolve) => setImmediate(resolve));
    at -= 1;
    return null;
  };
  const ran: string[] = [];
  const first = boot('p1', [stepsOf('make', ran, { first: endless }, { queue: 'jobs' })], {}, { jobs: 1 });
  for (const resource of ['a', 'b', 'c', 'd', 'e'])
    await first.engine.start(first.machine('make'), on(resource));
  await clock.advance(10);
  assert.deepEqual(ran, ['make/a/first']);
  first.die();
  const second = boot(
    'p2',
    [stepsOf('make', ran, { first: slow, second: slow }, { queue: 'jobs' })],
    {},
    { jobs: 1 },
  );
  await second.engine.resume();
  await clock.advance(1000);
  assert.deepEqual(
    second.engine.runs().map(({ status }) => status),
    Array(5).fill('done'),
  );
  assert.equal(most, 1);
});

test('fsm 10: when a commit fails nothing goes on that is not stored', async (t) => {
  const { boot, clock } = laboratory(t);
  const ran: string[] = [];
  let broken = false;
  const hooks = {
    commit: (_: unknown, commit: () => void): void => {
      if (broken) throw new Error('the disk is gone');
      commit();
    },
  };
  const first = async () => {
    broken = true;
    return null;
  };
  const process = boot('p1', [stepsOf('make', ran, { first })], hooks);
  await process.engine.start(process.machine('make'), on('a'));
  await clock.advance(50);
  assert.deepEqual(ran, ['make/a/first'], 'the second step must not begin');
  broken = false;
  const second = boot('p2', [stepsOf('make', ran)], unknownCommit(Number.POSITIVE_INFINITY));
  process.die();
  assert.equal(second.engine.run('a').state, 'first');
  await second.engine.resume();
  await clock.advance(50);
  assert.equal(second.engine.run('a').status, 'done');
});

test('fsm 14: attempts of one step do not count for the next, and a failed run is no success', async (t) => {
  const { boot, clock } = laboratory(t);
  const ran: string[] = [];
  const shaky = (): never => {
    throw Object.assign(new Error('again'), { kind: 'recoverable', code: 'source_unavailable' });
  };
  const retry = { recoverable: { attemptsMax: 3, pauseMs: 100, pauseMsMax: 100 } };
  const make = (first: () => Promise<Json>, second: () => Promise<Json>) => [
    { ...stepsOf('make', ran, { first, second }), effects: { first: { retry }, second: { retry } } },
  ];
  const first = boot(
    'p1',
    make(
      async () => shaky(),
      async () => shaky(),
    ),
  );
  await first.engine.start(first.machine('make'), on('a'));
  while (first.engine.run('a').attempts < 2) await clock.advance(10);
  first.die();
  ran.length = 0;
  const second = boot(
    'p2',
    make(
      async () => null,
      async () => shaky(),
    ),
  );
  await second.engine.resume();
  await clock.advance(1000);
  // Had it begun at two, one would have been enough to park it.
  assert.equal(ran.filter((step) => step.endsWith('second')).length, 3);
  assert.equal(second.engine.run('a').status, 'parked');
  const third = boot('p3', [stepsOf('fail', ran, { first: failing })]);
  await third.engine.start(third.machine('fail'), on('b'));
  await clock.advance(10);
  assert.equal(third.engine.run('b').status, 'failed');
  assert.equal(third.engine.run('b').error?.code, 'no_space');
});

test('fsm 15: a run that cannot be read is parked by itself; the others come back', async (t) => {
  const { boot, clock, path } = laboratory(t);
  const ran: string[] = [];
  const first = boot('p1', [
    stepsOf('make', ran, { first: endless }),
    stepsOf('gone', ran, { first: endless }),
  ]);
  for (const resource of ['snapshot', 'input', 'whole'])
    await first.engine.start(first.machine('make'), on(resource));
  await first.engine.start(first.machine('gone'), on('unknown'));
  await clock.advance(1);
  first.die();
  const db = new SqliteDatabase(path);
  db.prepare("UPDATE runs SET snapshot = '{broken' WHERE uid = 'snapshot'").run();
  db.prepare("UPDATE runs SET input = 'broken}' WHERE uid = 'input'").run();
  db.close();
  const second = boot('p2', [stepsOf('make', ran)]);
  await second.engine.resume();
  await clock.advance(50);
  assert.equal(second.engine.run('whole').status, 'done');
  for (const id of ['snapshot', 'input']) {
    assert.equal(second.engine.run(id).status, 'parked');
    assert.equal(second.engine.run(id).error?.code, 'snapshot_refused');
  }
  assert.equal(second.engine.run('unknown').status, 'running');
  assert.equal(second.engine.runs().length, 4);
});

test('fsm 15: a run whose end state was renamed is parked, and not left running for ever', async (t) => {
  const { boot, clock } = laboratory(t);
  const ran: string[] = [];
  const first = boot('p1', [stepsOf('make', ran, { second: endless })]);
  await first.engine.start(first.machine('make'), on('a'));
  await clock.advance(1);
  first.die();
  const renamed = defineMachine({
    name: 'make',
    version: 1,
    machine: setup({}).createMachine({ id: 'make', initial: 'elsewhere', states: { elsewhere: {} } }),
    actors: {},
  });
  const second = boot('p2', [renamed]);
  await second.engine.resume();
  await clock.advance(1);
  assert.deepEqual(
    [second.engine.run('a').status, second.engine.run('a').error?.code],
    ['parked', 'snapshot_refused'],
  );
});
