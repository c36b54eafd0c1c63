import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pending, recoverable, unrecoverable } from '#core/errors';
import { defineMachine, type Implementations } from '#engine/index';
import { engineIn, tempFolder } from '../support/engine.ts';
import { orderMachine } from './order.ts';

type Deps = Implementations<typeof orderMachine>;

const order = (actors: Partial<Deps> = {}) =>
  defineMachine({
    name: 'order',
    version: 1,
    machine: orderMachine,
    key: ({ order }) => order,
    actors: {
      charge: async () => ({ charge: 'ch-1' }),
      ship: async () => null,
      refund: async () => null,
      ...actors,
    },
  });
const input = { order: 'o-1', amount: 5 };

test('a run goes through its states and ends with its output', async (t) => {
  const definition = order();
  const engine = engineIn(t, tempFolder(t), [definition]);
  const { id, joined } = await engine.start(definition, { input });
  assert.equal(joined, false);
  const run = await engine.wait(id);
  assert.equal(run.status, 'done');
  assert.deepEqual(run.output, { charge: 'ch-1' });
  assert.deepEqual(
    engine.history(id).map(({ event, from, to, effects }) => [event, from, to, effects]),
    [
      ['xstate.init', null, 'charging', ['charge']],
      ['xstate.done.actor.charge', 'charging', 'shipping', ['ship']],
      ['xstate.done.actor.ship', 'shipping', 'shipped', []],
    ],
  );
});

test('any past snapshot can be rebuilt from the history', async (t) => {
  const definition = order();
  const engine = engineIn(t, tempFolder(t), [definition]);
  const { id } = await engine.start(definition, { input });
  await engine.wait(id);
  const values = engine.history(id).map(({ seq }) => (engine.snapshotAt(id, seq) as { value: string }).value);
  assert.deepEqual(values, ['charging', 'shipping', 'shipped']);
  assert.throws(() => engine.snapshotAt(id, 99), { code: 'run_not_found' });
});

test('a recoverable failure is tried again and counted, and spent attempts park the run', async (t) => {
  let failures = 2;
  const seen: number[] = [];
  const definition = order({
    charge: async ({ attempt }) => {
      seen.push(attempt);
      if (failures-- > 0) throw recoverable('source_unavailable', 'try later');
      return { charge: 'ch-2' };
    },
    ship: async () => {
      throw recoverable('source_unavailable', 'never');
    },
  });
  const engine = engineIn(t, tempFolder(t), [definition]);
  const { id } = await engine.start(definition, { input });
  const run = await engine.wait(id, { until: 'settled' });
  assert.deepEqual(seen, [1, 2, 3]);
  assert.equal(run.status, 'parked');
  assert.equal(run.state, 'shipping');
  assert.equal(run.attempts, 3);
  assert.equal(run.error?.code, 'source_unavailable');
});

test('a parked run goes on from where it parked when it is retried', async (t) => {
  let broken = true;
  const definition = order({
    ship: async () => {
      if (broken) throw recoverable('source_unavailable', 'not yet');
      return null;
    },
  });
  const engine = engineIn(t, tempFolder(t), [definition]);
  const { id } = await engine.start(definition, { input });
  assert.equal((await engine.wait(id, { until: 'settled' })).status, 'parked');
  broken = false;
  await engine.retry(id);
  assert.equal((await engine.wait(id)).status, 'done');
});

test('what the world lacks makes a run pending and spends no attempts', async (t) => {
  let looks = 0;
  const definition = order({
    ship: async () => {
      looks += 1;
      if (looks < 8) throw pending('object_missing', 'not there yet');
      return null;
    },
  });
  const engine = engineIn(t, tempFolder(t), [definition]);
  const { id } = await engine.start(definition, { input });
  const settled = await engine.wait(id, { until: 'settled' });
  assert.equal(settled.status, 'pending');
  assert.equal(settled.error?.code, 'object_missing');
  assert.equal(settled.attempts, 0);
  assert.equal((await engine.wait(id)).status, 'done');
  assert.equal(engine.history(id).filter(({ event }) => event === 'flyd.pending').length, 1);
});

test('an unrecoverable failure goes to the machine, which compensates', async (t) => {
  const refunds: unknown[] = [];
  const definition = order({
    ship: async () => {
      throw unrecoverable('no_space', 'the van is full');
    },
    refund: async ({ input }) => {
      refunds.push(input);
      return null;
    },
  });
  const engine = engineIn(t, tempFolder(t), [definition]);
  const { id } = await engine.start(definition, { input });
  const run = await engine.wait(id);
  assert.equal(run.status, 'failed');
  assert.equal(run.error?.code, 'no_space');
  assert.deepEqual(refunds, [{ charge: 'ch-1' }]);
});

test('one live run for each key: a second start joins it', async (t) => {
  let release = (): void => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const definition = order({ ship: () => gate.then(() => null) });
  const engine = engineIn(t, tempFolder(t), [definition]);
  const first = await engine.start(definition, { input });
  const second = await engine.start(definition, { input });
  assert.deepEqual(second, { id: first.id, joined: true });
  release();
  await engine.wait(first.id);
  const third = await engine.start(definition, { input });
  assert.equal(third.joined, false);
});

test('cancel reaches the machine, the running effect is aborted first, compensation follows', async (t) => {
  const order_: string[] = [];
  const definition = order({
    ship: ({ signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          setTimeout(() => {
            order_.push(`ship stopped: ${(signal.reason as { code: string }).code}`);
            reject(signal.reason);
          }, 20);
        });
      }),
    refund: async () => {
      order_.push('refund');
      return null;
    },
  });
  const engine = engineIn(t, tempFolder(t), [definition]);
  const { id } = await engine.start(definition, { input });
  while (engine.run(id).state !== 'shipping') await new Promise((resolve) => setTimeout(resolve, 2));
  await engine.cancel(id, { reason: 'changed my mind' });
  assert.equal((await engine.wait(id)).status, 'cancelled');
  assert.deepEqual(order_, ['ship stopped: superseded', 'refund']);
});

test('the effect id is stable over attempts and differs between effects', async (t) => {
  const ids: string[] = [];
  const definition = order({
    charge: async ({ effectId, attempt }) => {
      ids.push(effectId);
      if (attempt < 2) throw recoverable('source_unavailable', 'again');
      return { charge: 'x' };
    },
    ship: async ({ effectId }) => {
      ids.push(effectId);
      return null;
    },
  });
  const engine = engineIn(t, tempFolder(t), [definition]);
  const { id } = await engine.start(definition, { input });
  await engine.wait(id);
  assert.equal(ids[0], ids[1]);
  assert.notEqual(ids[1], ids[2]);
  assert.ok(ids[0]?.startsWith(`${id}/charge/`));
});

test('closing leaves the run resumable, and another engine takes it on', async (t) => {
  const folder = tempFolder(t);
  const stuck = order({
    ship: ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  });
  const first = engineIn(t, folder, [stuck]);
  const { id } = await first.start(stuck, { input });
  while (first.run(id).state !== 'shipping') await new Promise((resolve) => setTimeout(resolve, 2));
  await first.close();
  const working = order({ charge: async () => assert.fail('charged twice') });
  const second = engineIn(t, folder, [working]);
  assert.equal(second.run(id).status, 'running');
  assert.deepEqual(await second.resume(), [id]);
  assert.equal((await second.wait(id)).status, 'done');
});

test('a run found by its id is one of that machine, or none', async (t) => {
  const definition = order();
  const other = { ...definition, name: 'other' };
  const engine = engineIn(t, tempFolder(t), [definition, other]);
  const { id } = await engine.start(definition, { input });
  assert.equal(engine.find(definition, String(id)), id);
  assert.throws(() => engine.find(other, String(id)), { code: 'run_not_found' });
  assert.throws(() => engine.find(definition, 'nowhere'), { code: 'run_not_found' });
  await engine.wait(id);
});
