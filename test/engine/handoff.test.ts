import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assign, setup } from 'xstate';
import { defineMachine, effect, type HandoffOptions, handoff, type Json } from '#engine/index';
import { sqliteError } from '#engine/testing/index';
import { laboratory, one } from './laboratory.ts';

interface Count {
  from: number;
  to: number;
  options?: HandoffOptions;
}

/** Counts one step, and hands the rest to a new run of itself. */
const counterMachine = setup({
  types: {
    input: {} as Count,
    context: {} as Count,
    output: {} as { counted: number },
    events: {} as { type: 'flyd.cancel' },
  },
  actors: { step: effect<{ n: number }, null>() },
}).createMachine({
  id: 'counter',
  context: ({ input }) => input,
  initial: 'resting',
  states: {
    // Only here it can be cancelled.
    resting: { on: { 'flyd.cancel': 'cancelled' }, after: { 20: 'counting' } },
    counting: {
      invoke: { id: 'step', src: 'step', input: ({ context }) => ({ n: context.from }), onDone: 'counted' },
    },
    counted: { type: 'final' },
    cancelled: { type: 'final', tags: ['cancelled'] },
  },
  output: ({ context: { from, to, options } }) =>
    from >= to
      ? { counted: from }
      : handoff(
          'counter',
          { from: from + 1, to, ...(options === undefined ? {} : { options }) } as never,
          options,
        ),
});

function counter(step: (n: number) => Promise<null> = async () => null) {
  return defineMachine({
    name: 'counter',
    version: 1,
    machine: counterMachine,
    key: ({ to }) => `count to ${to}`,
    actors: { step: ({ input }) => step(input.n) },
  });
}

const callerMachine = setup({
  types: { output: {} as Json, context: {} as { got: Json } },
  actors: { count: effect<Count, { counted: number }>() },
  actions: { keep: assign({ got: (_, params: { got: Json }) => params.got }) },
}).createMachine({
  id: 'caller',
  context: { got: null },
  initial: 'calling',
  states: {
    calling: {
      invoke: {
        id: 'count',
        src: 'count',
        input: { from: 0, to: 2 },
        onDone: {
          target: 'called',
          actions: { type: 'keep', params: ({ event }) => ({ got: event.output as unknown as Json }) },
        },
      },
    },
    called: { type: 'final' },
  },
  output: ({ context }) => context.got,
});

test('a run hands its work to a new one, which has its key; to follow is to wait for the last', async (t) => {
  const machine = counter();
  const { boot, clock } = laboratory(t);
  const { engine } = boot('a', [machine]);
  const { id } = await engine.start(machine, { input: { from: 0, to: 2 }, labels: { who: 'me' } });
  const last = engine.wait(id, { follow: true });
  await clock.advance(100);
  const chain = engine.runs();
  assert.equal(chain.length, 3);
  assert.deepEqual(
    chain.map(({ status, key, labels, output, continuedAs }) => ({
      status,
      key,
      labels,
      output,
      continuedAs,
    })),
    chain.map((_, n) => ({
      status: 'done',
      key: 'count to 2',
      labels: { who: 'me' },
      output: n === 2 ? { counted: 2 } : null,
      continuedAs: chain[n + 1]?.id ?? null,
    })),
  );
  assert.deepEqual((await last).output, { counted: 2 });
  assert.equal((await engine.wait(id)).id, id);
  await assert.rejects(engine.cancel(id), { code: 'run_not_active', hint: new RegExp(chain[1]?.id ?? '-') });
});

test('parents, and runs that come after it, see the last one', async (t) => {
  const machine = counter();
  const after = one(undefined, 'after');
  const caller = defineMachine({
    name: 'caller',
    version: 1,
    machine: callerMachine,
    actors: { count: machine },
  });
  const { boot, clock } = laboratory(t);
  const [a, b] = [boot('a', [caller, after]), boot('b', [caller, after])];
  const { id } = await a.engine.start(caller, { input: {} as never });
  await clock.advance(0);
  const first = a.engine.runs({ machine: 'counter' })[0]?.id ?? '';
  const wish = { run: first, when: 'done', otherwise: 'park' } as const;
  const then = await b.engine.start(after, { input: {} as never, after: wish });
  await clock.advance(500);
  assert.deepEqual(a.engine.run(id).output, { counted: 2 });
  const [counted] = a.engine.runs({ machine: 'counter' }).slice(-1);
  assert.deepEqual(
    a.engine.children(id).map(({ run }) => run.id),
    [counted?.id],
  );
  assert.equal(b.engine.run(then.id).status, 'done');
  assert.ok(b.engine.run(then.id).updatedAt >= (counted?.endedAt ?? Number.POSITIVE_INFINITY));
});

test('a run that is to come after one that has handed on already waits for the last one, too', async (t) => {
  const machine = counter();
  const after = one(undefined, 'after');
  const { boot, clock } = laboratory(t);
  const { engine } = boot('a', [machine, after]);
  const { id } = await engine.start(machine, { input: { from: 0, to: 1, options: { delayMs: 5000 } } });
  await clock.advance(100);
  const next = engine.run(id).continuedAs ?? '';
  const wish = { run: id, when: 'done', otherwise: 'park' } as const;
  const then = await engine.start(after, { input: {} as never, after: wish });
  await clock.advance(100);
  assert.deepEqual(engine.run(then.id).waitsFor, [{ for: 'run', run: next, when: 'done' }]);
  await clock.advance(6000);
  assert.equal(engine.run(then.id).status, 'done');
});

test('the new run may be delayed, and is there after a crash between the two', async (t) => {
  const steps: number[] = [];
  const machine = counter(async (n) => void steps.push(n) as never);
  const { boot, clock, rows } = laboratory(t);
  const a = boot('a', [machine], {
    commit(process, commit) {
      commit();
      if (rows('SELECT id FROM runs').length < 2) return;
      process.die();
      throw sqliteError('SQLITE_IOERR_FSYNC');
    },
  });
  const { id } = await a.engine.start(machine, { input: { from: 0, to: 1, options: { delayMs: 5000 } } });
  await clock.advance(100);
  assert.equal(a.isAlive, false);
  const b = boot('b', [machine]);
  await b.engine.resume();
  await clock.advance(4000);
  assert.deepEqual(steps, [0]);
  const next = b.engine.run(id).continuedAs ?? '';
  assert.equal(b.engine.run(next).status, 'waiting');
  await clock.advance(2000);
  assert.deepEqual([b.engine.run(next).status, steps], ['done', [0, 1]]);
});

test('what was asked of the run before it handed off is asked of the next one', async (t) => {
  let go = (): void => {};
  const gate = new Promise<null>((resolve) => {
    go = () => resolve(null);
  });
  const machine = counter((n) => (n === 0 ? gate : Promise.resolve(null)));
  const { boot, clock } = laboratory(t);
  const { engine } = boot('a', [machine]);
  const { id } = await engine.start(machine, { input: { from: 0, to: 5 } });
  await clock.advance(100);
  await engine.cancel(id, { reason: 'too late for this one' });
  await clock.advance(100);
  assert.equal(engine.run(id).state, 'counting');
  go();
  await clock.advance(2000);
  assert.deepEqual(
    engine.runs().map(({ status }) => status),
    ['done', 'cancelled'],
  );
});

test('a handoff that makes no sense parks the run, and a mended build carries it on', async (t) => {
  for (const options of [{ queue: 'nowhere' }, { priority: 0.5 }, { delayMs: Number.MAX_VALUE }]) {
    const machine = counter();
    const { boot, clock } = laboratory(t);
    const a = boot('a', [machine]);
    const { id } = await a.engine.start(machine, { input: { from: 0, to: 1, options } });
    await clock.advance(100);
    assert.equal(a.engine.run(id).error?.code, 'machine_refused');
    a.die();
    if (options.queue === undefined) continue;
    const b = boot('b', [machine], {}, { nowhere: 1 });
    await b.engine.resume();
    await b.engine.retry(id);
    await clock.advance(100);
    assert.deepEqual(
      b.engine.runs().map(({ status }) => status),
      ['done', 'done'],
    );
  }
});
