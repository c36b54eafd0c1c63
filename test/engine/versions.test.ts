import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import SqliteDatabase from 'better-sqlite3';
import { assign, setup } from 'xstate';
import { effect } from '#core/effect';
import { defineMachine, type Json } from '#engine/index';
import { engineIn, tempFolder } from '../support/engine.ts';

const stuck = ({ signal }: { signal: AbortSignal }): Promise<null> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

type States = 'old' | 'renamed' | 'deeper' | 'busier' | 'timed';

function machineWith(states: States) {
  const base = setup({
    types: { context: {} as { count: number } },
    actors: { work: effect<Record<string, never>, null>() },
  });
  const invoke = { id: 'work', src: 'work', input: {}, onDone: 'done' } as const;
  if (states === 'renamed')
    return base.createMachine({
      id: 'm',
      context: { count: 0 },
      initial: 'labouring',
      states: { labouring: { invoke }, done: { type: 'final' } },
    });
  if (states === 'deeper')
    return base.createMachine({
      id: 'm',
      context: { count: 0 },
      initial: 'working',
      states: {
        working: { initial: 'first', states: { first: {}, second: {} }, invoke },
        done: { type: 'final' },
      },
    });
  const second = { ...invoke, id: 'second' } as const;
  return base.createMachine({
    id: 'm',
    context: { count: 0 },
    initial: 'working',
    states: {
      working: {
        invoke: states === 'busier' ? [invoke, second] : invoke,
        ...(states === 'timed' ? { after: { 3600000: 'done' } } : {}),
      },
      done: { type: 'final' },
    },
  });
}
const define = (
  states: States,
  version: number,
  work: (context: { signal: AbortSignal }) => Promise<null>,
  migrate: Record<number, (snapshot: Json) => Json> = {},
) => defineMachine({ name: 'm', version, machine: machineWith(states), actors: { work }, migrate });

async function leaveOneBehind(t: TestContext, folder: string, states: States = 'old'): Promise<string> {
  const old = define(states, 1, stuck);
  const engine = engineIn(t, folder, [old]);
  const { id } = await engine.start(old, { input: {} as never });
  while (engine.run(id).state !== 'working') await new Promise((resolve) => setTimeout(resolve, 2));
  await engine.close();
  return id;
}
const storedSnapshot = (folder: string, id: string): unknown => {
  const db = new SqliteDatabase(join(folder, 'engine.db'), { readonly: true });
  const row = db.prepare('SELECT snapshot FROM runs WHERE uid = ?').get(id);
  db.close();
  return row;
};

for (const [before, after, why] of [
  ['old', 'renamed', 'its state is gone'],
  ['old', 'deeper', 'its state has states of its own now'],
  ['old', 'busier', 'its state invokes something new'],
  ['timed', 'old', 'its deadline is gone'],
] as const)
  test(`a run that no longer fits is parked and left untouched: ${why}`, async (t) => {
    const folder = tempFolder(t);
    const id = await leaveOneBehind(t, folder, before);
    const stored = storedSnapshot(folder, id);
    const changed = define(after, 1, async () => null);
    const engine = engineIn(t, folder, [changed]);
    await engine.resume();
    const run = engine.run(id);
    assert.equal(run.status, 'parked');
    assert.equal(run.error?.code, 'snapshot_refused');
    assert.deepEqual(storedSnapshot(folder, id), stored);
    await engine.close();
    const again = engineIn(t, folder, [define(before, 1, async () => null)]);
    await again.retry(id);
    assert.equal((await again.wait(id)).status, 'done');
  });

test('a run of an unknown version is parked; with a migration it goes on', async (t) => {
  const folder = tempFolder(t);
  const id = await leaveOneBehind(t, folder);
  const next = define('renamed', 2, async () => null);
  const first = engineIn(t, folder, [next]);
  await first.resume();
  assert.equal(first.run(id).error?.code, 'machine_unknown');
  await first.close();
  const migrating = define('renamed', 2, async () => null, {
    1: (snapshot) => ({ ...(snapshot as { [key: string]: Json }), value: 'labouring' }),
  });
  const second = engineIn(t, folder, [migrating]);
  await second.retry(id);
  const run = await second.wait(id);
  assert.equal(run.status, 'done');
  assert.equal(run.version, 2);
  const { seq } = second.history(id).at(-1) ?? { seq: 0 };
  assert.equal((second.snapshotAt(id, seq) as { value: string }).value, 'done');
});

test('a throw inside a transition parks the run, and the event is taken after the mend', async (t) => {
  const folder = tempFolder(t);
  let broken = true;
  const machine = setup({
    types: { context: {} as { n: number }, events: {} as { type: 'go' } },
    actions: {
      fragile: assign({
        n: ({ context }) => {
          if (broken) throw new Error('a bug');
          return context.n + 1;
        },
      }),
    },
  }).createMachine({
    id: 'fragile',
    context: { n: 0 },
    initial: 'a',
    states: { a: { on: { go: { target: 'b', actions: 'fragile' } } }, b: { type: 'final' } },
    output: ({ context }) => context.n,
  });
  const fragile = defineMachine({ name: 'fragile', version: 1, machine, actors: {} });
  const engine = engineIn(t, folder, [fragile]);
  const { id } = await engine.start(fragile, { input: {} as never });
  await engine.send(id, { type: 'go' });
  const parked = await engine.wait(id, { until: 'settled' });
  assert.equal(parked.status, 'parked');
  assert.equal(parked.error?.code, 'transition_threw');
  assert.equal(parked.error?.cause?.message, 'a bug');
  broken = false;
  await engine.retry(id);
  const run = await engine.wait(id);
  assert.equal(run.output, 1);
});

test('what cannot be stored by name is refused when it is defined, with what to write instead', () => {
  const inline = setup({}).createMachine({ id: 'x', initial: 'a', states: { a: { entry: () => {} } } });
  assert.throws(() => defineMachine({ name: 'x', version: 1, machine: inline, actors: {} }), {
    code: 'machine_refused',
    message: /inline action/,
  });
  const nameless = setup({ actors: { work: effect<Record<string, never>, null>() } }).createMachine({
    id: 'x',
    initial: 'a',
    states: { a: { invoke: { src: 'work', input: {} } } },
  });
  assert.throws(() => defineMachine({ name: 'x', version: 1, machine: nameless, actors: { work: stuck } }), {
    message: /without an id/,
  });
  const plainAction = setup({ actions: { shout: () => {} } }).createMachine({ id: 'x', entry: 'shout' });
  assert.throws(() => defineMachine({ name: 'x', version: 1, machine: plainAction, actors: {} }), {
    message: /invoke an actor instead/,
  });
});

test('context that would not survive JSON parks the run with the path', async (t) => {
  const machine = setup({ types: { context: {} as { at: unknown } } }).createMachine({
    id: 'dated',
    context: { at: new Date(0) },
  });
  const dated = defineMachine({ name: 'dated', version: 1, machine, actors: {} });
  const engine = engineIn(t, tempFolder(t), [dated]);
  const { id } = await engine.start(dated, { input: {} as never });
  const run = await engine.wait(id, { until: 'settled' });
  assert.equal(run.status, 'parked');
  assert.equal(run.error?.code, 'not_serialisable');
  assert.match(run.error?.message ?? '', /snapshot\.context\.at is a Date/);
});
