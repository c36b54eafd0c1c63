import assert from 'node:assert/strict';
import { test } from 'node:test';
import { enqueueActions, setup } from 'xstate';
import { defineMachine, effect, type Json } from '#engine/index';
import { carefulMachine, input, laboratory, type None, one } from './laboratory.ts';

/** Effects that go on until they are told to stop, and then take their time. */
function slow(stopMs: number, setTimer: (run: () => void, ms: number) => unknown) {
  const log: string[] = [];
  const work = ({ signal }: { signal: AbortSignal }) =>
    new Promise<Json>((_, reject) => {
      log.push('started');
      signal.addEventListener('abort', () => {
        log.push((signal.reason as { code: string }).code);
        setTimer(() => {
          log.push('stopped');
          reject(signal.reason);
        }, stopMs);
      });
    });
  return { log, work };
}

test('kill: effects are aborted and waited for, nothing is compensated', async (t) => {
  const { boot, clock } = laboratory(t);
  const { log, work } = slow(500, clock.process('world').setTimer);
  const machine = defineMachine({
    name: 'careful',
    version: 1,
    machine: carefulMachine,
    actors: { pay: async () => null, ship: work, refund: async () => log.push('refunded') },
  });
  const [a, b] = [boot('a', [machine]), boot('b', [machine])];
  await a.engine.start(machine, { input, id: 'x' });
  await clock.advance(100);
  await b.engine.kill('x', { reason: 'enough' });
  await clock.advance(300);
  assert.deepEqual([a.engine.run('x').status, log], ['running', ['started', 'killed']]);
  await clock.advance(300);
  const run = b.engine.run('x');
  assert.deepEqual([run.status, run.error?.code, run.error?.message], ['cancelled', 'killed', 'enough']);
  assert.deepEqual(log, ['started', 'killed', 'stopped']);
  assert.equal(b.engine.history('x').at(-1)?.event, 'flyd.kill');
  await assert.rejects(b.engine.kill('x'), { code: 'run_not_active' });
});

test('kill ends a run that compensates, one that is parked, and one that has not begun', async (t) => {
  const { boot, clock } = laboratory(t);
  const { work } = slow(0, clock.process('world').setTimer);
  const refund = ({ signal }: { signal: AbortSignal }) =>
    new Promise<Json>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  const careful = defineMachine({
    name: 'careful',
    version: 1,
    machine: carefulMachine,
    actors: { pay: async () => null, ship: work, refund },
  });
  const broken = one(() => Promise.reject(new Error('always')), 'broken');
  const { engine } = boot('a', [careful, broken]);
  await engine.start(careful, { input, id: 'compensating' });
  await engine.start(broken, { input, id: 'parked' });
  await engine.start(broken, { input, id: 'later', delayMs: 1000 });
  await clock.advance(100);
  await engine.cancel('compensating');
  await clock.advance(100);
  assert.deepEqual(
    engine.runs().map(({ state, status }) => `${state} ${status}`),
    ['refunding running', 'working parked', ' waiting'],
  );
  for (const { id } of engine.runs()) await engine.kill(id);
  await clock.advance(2000);
  for (const { status, error } of engine.runs())
    assert.deepEqual([status, error?.code], ['cancelled', 'killed']);
});

test('a kill that comes when the run was just told to begin is heard', async (t) => {
  const { boot, clock } = laboratory(t);
  const machine = one();
  const [a, b] = [boot('a', [machine]), boot('b', [machine])];
  await b.engine.start(machine, { input, id: 'other' });
  await a.engine.start(machine, { input, id: 'x' });
  // It has its first mail, and no turn yet.
  await b.engine.kill('x');
  await a.engine.send('x', { type: 'hello' });
  await clock.advance(5000);
  assert.equal(a.engine.run('x').error?.code, 'killed');
});

test('a kill is not forgotten when the owner dies while it waits for an effect', async (t) => {
  const { boot, clock } = laboratory(t);
  const { work, log } = slow(60_000, clock.process('world').setTimer);
  const machine = one(work);
  const a = boot('a', [machine]);
  await a.engine.start(machine, { input, id: 'x' });
  await clock.advance(100);
  await a.engine.kill('x');
  await clock.advance(100);
  a.die();
  const b = boot('b', [machine]);
  await b.engine.resume();
  await clock.advance(100);
  assert.equal(b.engine.run('x').error?.code, 'killed');
  assert.deepEqual(log, ['started', 'killed']);
});

const forever = one(
  ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
);

const hiring = (onParentClose: 'cancel' | 'abandon', work = forever) =>
  defineMachine({
    name: 'parent',
    version: 1,
    machine: setup({
      types: { events: {} as { type: 'end' } | { type: 'stop' } },
      actors: { invoked: effect<None, Json>(), spawned: effect<None, Json>() },
      actions: {
        hire: enqueueActions(({ enqueue }) => enqueue.spawnChild('spawned', { id: 'spawned', input: {} })),
        fire: enqueueActions(({ enqueue }) => enqueue.stopChild('spawned')),
      },
    }).createMachine({
      id: 'parent',
      initial: 'working',
      states: {
        working: {
          entry: 'hire',
          invoke: { id: 'invoked', src: 'invoked', input: {} },
          on: { end: 'ended', stop: { target: 'waiting', actions: 'fire' } },
        },
        waiting: { on: { end: 'ended' } },
        ended: { type: 'final' },
      },
    }),
    actors: { invoked: work, spawned: work },
    children: { invoked: { onParentClose }, spawned: { onParentClose } },
  });

for (const policy of ['cancel', 'abandon'] as const)
  for (const how of ['end', 'stop', 'kill', 'cancel'] as const)
    test(`children of policy '${policy}' when their parent ends by '${how}'`, async (t) => {
      const { boot, clock } = laboratory(t);
      const machine = hiring(policy);
      const { engine } = boot('a', [machine]);
      await engine.start(machine, { input, id: 'x' });
      await clock.advance(100);
      if (how === 'kill') await engine.kill('x');
      else if (how === 'cancel') await engine.cancel('x');
      else await engine.send('x', { type: how });
      await clock.advance(100);
      const children = engine.runs({ machine: 'one' }).map(({ status }) => status);
      const lives = policy === 'abandon' && how !== 'stop';
      assert.deepEqual(children, lives ? ['running', 'running'] : ['cancelled', 'cancelled']);
      if (!lives) return;
      // It is nobody's now: whoever resumes carries it on.
      await engine.kill(engine.runs({ machine: 'one' })[0]?.id ?? '');
      await clock.advance(100);
      assert.equal(engine.runs({ machine: 'one', live: true }).length, 1);
    });

test('a policy for a child that the machine does not have is refused', () => {
  const { machine } = one();
  const work = async () => null;
  const spec = { name: 'x', version: 1, machine, actors: { work }, children: { worker: {} } };
  assert.throws(() => defineMachine(spec as never), { code: 'machine_refused' });
});

test('no commit gets the id of a purged one: who follows the history would miss it', async (t) => {
  const { boot, clock, rows } = laboratory(t);
  const machine = hiring('abandon', one());
  const { engine } = boot('a', [machine]);
  const newest = (): unknown => (rows('SELECT max(id) AS id FROM transitions')[0] as { id: number }).id;
  await engine.start(machine, { input, id: 'x' });
  await clock.advance(100);
  await engine.send('x', { type: 'end' });
  await clock.advance(100);
  const before = newest() as number;
  await engine.purge('x');
  await engine.start(machine, { input, id: 'y' });
  await clock.advance(100);
  assert.ok(engine.history('y').every(({ id }) => id > before));
});

test('purge deletes a run that has ended, and all that is stored of it', async (t) => {
  const { boot, clock, rows } = laboratory(t);
  const machine = hiring('abandon', one());
  const { engine } = boot('a', [machine]);
  await engine.start(machine, { input, id: 'x' });
  await engine.start(machine, { input, id: 'other' });
  await clock.advance(100);
  await assert.rejects(engine.purge('x'), { code: 'run_in_use' });
  const child = engine.children('x')[0]?.run.id ?? '';
  assert.equal(engine.run(child).status, 'done');
  await assert.rejects(engine.purge(child), { code: 'run_in_use' }, 'its parent may still be asked about it');
  await engine.send('x', { type: 'end' }, { dedupe: 'once' });
  await clock.advance(100);
  const other = engine.history('other');
  await engine.purge('x');
  await engine.purge(child);
  assert.throws(() => engine.run('x'), { code: 'run_not_found' });
  assert.deepEqual(engine.history('other'), other);
  for (const table of ['events', 'timers', 'effects'])
    assert.deepEqual(rows(`SELECT * FROM ${table} WHERE run NOT IN (SELECT id FROM runs)`), [], table);
  const left = rows('SELECT event, snapshot FROM transitions WHERE run NOT IN (SELECT id FROM runs)');
  for (const row of left) assert.deepEqual(row, { event: '{"type":"flyd.purged"}', snapshot: 'null' });
  assert.deepEqual(rows('SELECT * FROM run_links WHERE parent NOT IN (SELECT id FROM runs)'), []);
});
