import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type Definition, defineMachine, type Json } from '#engine/index';
import { sqliteError } from '#engine/testing/index';
import { carefulMachine, input, laboratory, one } from './laboratory.ts';

const minute = 60_000;

/** A machine of one effect that ends when the test says so, and the names of the runs that have begun. */
function gated(name = 'one') {
  const begun: string[] = [];
  const finish = new Map<string, (error?: unknown) => void>();
  const machine = one(({ effectId, signal }) => {
    const run = effectId.slice(0, effectId.indexOf('/'));
    begun.push(run);
    return new Promise<Json>((resolve, reject) => {
      finish.set(run, (error) => (error === undefined ? resolve(null) : reject(error)));
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  }, name);
  return { machine, begun, end: (run: string, error?: unknown) => finish.get(run)?.(error) };
}

const failure = Object.assign(new Error('it failed'), { kind: 'unrecoverable', code: 'command_failed' });

/** Two processes: `a` starts the runs and dies, `b` carries them on. */
async function afterRestart(
  t: TestContext,
  machine: Definition,
  work: (start: (options: object) => Promise<string>) => Promise<void>,
) {
  const { boot, clock } = laboratory(t);
  const a = boot('a', [machine]);
  await work(async (options) => (await a.engine.start(machine, { input, ...options } as never)).id);
  await clock.advance(0);
  a.die();
  const b = boot('b', [machine]);
  await b.engine.resume();
  return { engine: b.engine, clock };
}

test('a delayed start waits, also over a restart, and says until when', async (t) => {
  const { machine, begun } = gated();
  const { engine, clock } = await afterRestart(t, machine, async (start) => {
    await start({ id: 'later', delayMs: 2 * minute });
    await start({ id: 'then', startAt: 1_700_000_000_000 + 3 * minute });
    await start({ id: 'past', startAt: 5 });
  });
  await clock.advance(1);
  assert.deepEqual(begun.slice(-1), ['past']);
  const view = engine.run('later');
  assert.equal(view.status, 'waiting');
  assert.deepEqual(view.waitsFor, [{ for: 'time', until: view.createdAt + 2 * minute }]);
  assert.equal(view.nextAt, view.createdAt + 2 * minute);
  await clock.advance(2 * minute - 10);
  assert.ok(!begun.includes('later'));
  await clock.advance(20);
  assert.ok(begun.includes('later'));
  assert.deepEqual([engine.run('later').status, engine.run('later').waitsFor], ['running', []]);
  assert.ok(!begun.includes('then'));
  await clock.advance(minute);
  assert.ok(begun.includes('then'));
});

test('what is sent to a run that has not begun is taken when it has', async (t) => {
  const { machine, begun } = gated();
  const { engine, clock } = await afterRestart(t, machine, async (start) => {
    await start({ id: 'later', delayMs: minute });
  });
  await engine.send('later', { type: 'hello' });
  await clock.advance(1000);
  assert.deepEqual(begun, []);
  await clock.advance(minute);
  assert.deepEqual(
    engine.history('later').map(({ event }) => event),
    ['xstate.init', 'hello'],
  );
});

test('a delayed run that is cancelled never begins', async (t) => {
  const { machine, begun } = gated();
  const { engine, clock } = await afterRestart(t, machine, async (start) => {
    await start({ id: 'later', delayMs: minute });
  });
  await engine.cancel('later', { reason: 'not wanted' });
  await clock.advance(2 * minute);
  assert.deepEqual([engine.run('later').status, begun], ['cancelled', []]);
  assert.deepEqual(engine.history('later'), []);
});

for (const [when, otherwise, how, expected] of [
  ['done', 'cancel', 'done', 'begun'],
  ['done', 'cancel', 'failed', 'cancelled'],
  ['done', 'park', 'failed', 'parked'],
  ['done', 'park', 'cancelled', 'parked'],
  ['failed', 'cancel', 'failed', 'begun'],
  ['failed', 'cancel', 'done', 'cancelled'],
  ['ended', 'cancel', 'cancelled', 'begun'],
  ['ended', 'cancel', 'failed', 'begun'],
] as const)
  for (const late of [false, true])
    test(`run after, when ${when}, otherwise ${otherwise}: the other ends ${how}${late ? ' before' : ''}: ${expected}`, async (t) => {
      const { machine, begun, end } = gated();
      const { boot, clock } = laboratory(t);
      const { engine } = boot('a', [machine]);
      await engine.start(machine, { input, id: 'first' });
      await clock.advance(10);
      const finish = async () => {
        if (how === 'cancelled') await engine.cancel('first');
        else end('first', how === 'failed' ? failure : undefined);
        await clock.advance(100);
        assert.equal(engine.run('first').status, how);
      };
      if (late) await finish();
      await engine.start(machine, { input, id: 'second', after: { run: 'first', when, otherwise } });
      await clock.advance(100);
      if (!late) {
        assert.deepEqual(engine.run('second').waitsFor, [{ for: 'run', run: 'first', when }]);
        assert.deepEqual([engine.run('second').status, begun], ['waiting', ['first']]);
        await finish();
      }
      const second = engine.run('second');
      assert.equal(begun.includes('second'), expected === 'begun');
      assert.equal(second.status, expected === 'begun' ? 'running' : expected);
      assert.equal(second.error?.code, expected === 'begun' ? undefined : 'dependency_unmet');
      if (expected !== 'parked') return;
      await engine.retry('second');
      await clock.advance(10);
      assert.ok(begun.includes('second'), 'a person may let it begin all the same');
    });

test('a run that waits for another is told by another process, and after a restart', async (t) => {
  const { machine, begun, end } = gated();
  const { boot, clock } = laboratory(t);
  const [a, b] = [boot('a', [machine]), boot('b', [machine])];
  await a.engine.start(machine, { input, id: 'first' });
  const after = { run: 'first', when: 'done', otherwise: 'cancel' } as const;
  await b.engine.start(machine, { input, id: 'second', after });
  await b.engine.start(machine, { input, id: 'third', after: { ...after, run: 'second' } });
  await clock.advance(100);
  assert.deepEqual(begun, ['first']);
  end('first');
  await clock.advance(100);
  assert.deepEqual(begun, ['first', 'second']);
  b.die();
  await a.engine.resume();
  await clock.advance(10);
  end('second');
  await clock.advance(100);
  assert.deepEqual(begun, ['first', 'second', 'second', 'third']);
});

test('a run cannot wait for one that is not there', async (t) => {
  const { machine } = gated();
  const { boot } = laboratory(t);
  const { engine } = boot('a', [machine]);
  const after = { run: 'nobody', when: 'ended', otherwise: 'park' } as const;
  await assert.rejects(engine.start(machine, { input, after }), { code: 'run_not_found' });
  assert.deepEqual(engine.runs(), []);
});

const careful = (paid: Json[]) =>
  defineMachine({
    name: 'careful',
    version: 1,
    machine: carefulMachine,
    actors: {
      pay: async ({ effectId }) => paid.push(effectId.slice(0, effectId.indexOf('/'))),
      ship: ({ signal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      refund: () => new Promise<Json>((resolve) => setTimeout(() => resolve(null), 1)),
    },
  });

test('time, another run, a key and a place: none of them bypasses another', async (t) => {
  const { machine, begun, end } = gated();
  const { boot, clock } = laboratory(t);
  const { engine } = boot('a', [machine], {}, { narrow: 1 });
  const start = (id: string, options: object = {}) => engine.start(machine, { input, id, ...options });
  await start('first');
  await start('placed', { queue: 'narrow' });
  await start('keyed', { key: 'k' });
  await clock.advance(10);
  await engine.start(machine, {
    input,
    key: 'k',
    conflict: 'replace',
    labels: { last: 'yes' },
    delayMs: minute,
    queue: 'narrow',
    after: { run: 'first', when: 'done', otherwise: 'cancel' },
  });
  const last = engine.runs().find(({ labels }) => labels.last === 'yes')?.id ?? '';
  const holds = () => engine.run(last).waitsFor.map((hold) => hold.for);
  await clock.advance(10);
  assert.equal(engine.run('keyed').status, 'cancelled');
  assert.deepEqual(holds(), ['run', 'time', 'queue']);
  await clock.advance(minute);
  end('placed');
  await clock.advance(100);
  assert.ok(!begun.includes(last), 'time and a place are not enough');
  await start('placed-again', { queue: 'narrow' });
  await clock.advance(10);
  end('first');
  await clock.advance(100);
  assert.deepEqual(holds(), ['time', 'queue']);
  assert.ok(!begun.includes(last), 'another run has the place');
  end('placed-again');
  await clock.advance(100);
  assert.ok(begun.includes(last));
});

test('a run that had its place and had not begun does not stand behind one that waits for it', async (t) => {
  const { machine, begun } = gated();
  const { boot, clock } = laboratory(t);
  let fails = false;
  const a = boot(
    'a',
    [machine],
    {
      commit(_, commit) {
        commit();
        // The place is taken, durably, and the process does not know.
        if (fails) {
          fails = false;
          throw sqliteError('SQLITE_IOERR_FSYNC');
        }
      },
    },
    { narrow: 1 },
  );
  await a.engine.start(machine, { input, id: 'first', queue: 'narrow', delayMs: 100 });
  await clock.advance(90);
  fails = true;
  await clock.advance(20);
  await a.engine.start(machine, { input, id: 'before', queue: 'narrow', priority: 1 });
  await clock.advance(5000);
  assert.deepEqual(begun, ['first']);
});

test('replace: the old run compensates before the new one begins, whoever owns it', async (t) => {
  const paid: Json[] = [];
  const machine = careful(paid);
  const { boot, clock } = laboratory(t);
  const [a, b] = [boot('a', [machine]), boot('b', [machine])];
  const start = (engine: typeof a.engine, conflict: 'replace' | 'join' = 'replace') =>
    engine.start(machine, { input, key: 'k', conflict });
  const first = await start(a.engine);
  await clock.advance(100);
  const second = await start(b.engine);
  const third = await start(a.engine);
  const joined = await start(b.engine, 'join');
  assert.deepEqual(joined, { id: third.id, joined: true });
  assert.deepEqual(b.engine.run(third.id).waitsFor, [{ for: 'key', run: first.id }]);
  while (a.engine.run(third.id).state !== 'shipping') {
    await clock.advance(100);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  assert.equal(a.engine.run(first.id).status, 'cancelled');
  assert.equal(a.engine.run(second.id).status, 'cancelled');
  assert.equal(a.engine.run(second.id).error?.code, 'superseded');
  assert.deepEqual(paid, [first.id, third.id]);
});
