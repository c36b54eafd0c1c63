import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setup } from 'xstate';
import { type Definition, defineMachine, type Effect, effect } from '#engine/index';
import { input, laboratory, type None } from './laboratory.ts';

type Events = { type: 'begin' } | { type: 'stop' } | { type: 'fail' };

/** Boots, warms up, and then is ready or idle as it is told. */
const machine = setup({
  types: { events: {} as Events },
  actors: { boot: effect<None, null>(), warm: effect<None, null>() },
}).createMachine({
  id: 'server',
  initial: 'booting',
  states: {
    booting: { invoke: { id: 'boot', src: 'boot', input: {}, onDone: 'warming' } },
    warming: { tags: 'reachable', invoke: { id: 'warm', src: 'warm', input: {}, onDone: 'ready' } },
    ready: { tags: ['ready', 'reachable'], on: { stop: 'idle', fail: 'failed' } },
    idle: { on: { begin: 'ready' } },
    failed: { type: 'final', tags: ['failed'] },
  },
});
const server = (warm: Effect<None, null> = async () => null): Definition =>
  defineMachine({ name: 'server', version: 1, machine, actors: { boot: async () => null, warm } });

test('a run shows the tags of its states, and whoever waits for one hears of it, in any process', async (t) => {
  const { boot, clock } = laboratory(t);
  const definition = server();
  const here = boot('A', [definition]).engine;
  const there = boot('B', [definition]).engine;
  const { id } = await here.start(definition, { input });
  const waits = [here.waitFor(id, 'ready'), there.waitFor(id, ['nothing', 'ready'])];
  await clock.advance(100);
  for (const run of await Promise.all(waits))
    assert.deepEqual([run.state, run.tags], ['ready', ['ready', 'reachable']]);
  assert.deepEqual(there.runs({ machine: 'server' })[0]?.tags, ['ready', 'reachable']);
  assert.equal((await there.waitFor(id, 'reachable')).state, 'ready');
});

test('a tag that was there for an instant only is not missed by who waits, and is not there for who comes later', async (t) => {
  const { boot, clock } = laboratory(t);
  const definition = server();
  const { engine } = boot('A', [definition]);
  const { id } = await engine.start(definition, { input });
  await clock.advance(100);
  await engine.send(id, { type: 'stop' });
  await clock.advance(100);
  const waiting = engine.waitFor(id, 'ready');
  await clock.advance(100);
  assert.equal(await Promise.race([waiting.then(() => 'came'), Promise.resolve('waits')]), 'waits');
  // In one commit it gets ready and stops again.
  await engine.send(id, { type: 'begin' });
  await engine.send(id, { type: 'stop' });
  await clock.advance(100);
  assert.equal((await waiting).state, 'idle');
});

test('a wait for a tag ends with the run: with its view if it ever had the tag, else with an error', async (t) => {
  const { boot, clock } = laboratory(t);
  const definition = server();
  const { engine } = boot('A', [definition]);
  const { id } = await engine.start(definition, { input });
  const never = assert.rejects(engine.waitFor(id, 'shiny'), {
    code: 'tag_unreachable',
    kind: 'unrecoverable',
  });
  await clock.advance(100);
  await engine.send(id, { type: 'fail' });
  await clock.advance(100);
  await never;
  assert.equal((await engine.waitFor(id, 'ready')).status, 'failed');
  assert.equal((await engine.waitFor(id, 'failed')).status, 'failed');
  await assert.rejects(engine.waitFor('nobody', 'ready'), { code: 'run_not_found' });
});

test('who waits for a tag may stop waiting', async (t) => {
  const { boot } = laboratory(t);
  const definition = server();
  const { engine } = boot('A', [definition]);
  const { id } = await engine.start(definition, { input });
  const stop = new AbortController();
  const waiting = assert.rejects(engine.waitFor(id, 'ready', { signal: stop.signal }), /enough/);
  stop.abort(new Error('enough'));
  await waiting;
});

test('a wait in a process takes the run over when its owner is dead', async (t) => {
  const { boot, clock } = laboratory(t);
  const definition = server();
  const first = boot('A', [definition]);
  const { id } = await first.engine.start(definition, { input });
  first.die();
  const { engine } = boot('B', [definition]);
  const waiting = engine.waitFor(id, 'ready');
  await clock.advance(1000);
  assert.equal((await waiting).owner, engine.token);
});

test('an event is accepted once; the same again is a duplicate, also when the run has ended by it', async (t) => {
  const { boot, clock } = laboratory(t);
  const definition = server();
  const { engine } = boot('A', [definition]);
  const { id } = await engine.start(definition, { input });
  await clock.advance(100);
  assert.equal(await engine.send(id, { type: 'fail' }, { dedupe: 'once' }), 'accepted');
  assert.equal(await engine.send(id, { type: 'fail' }, { dedupe: 'once' }), 'duplicate');
  await clock.advance(100);
  assert.equal(engine.run(id).status, 'failed');
  assert.equal(await engine.send(id, { type: 'fail' }, { dedupe: 'once' }), 'duplicate');
  await assert.rejects(engine.send(id, { type: 'fail' }, { dedupe: 'twice' }), { code: 'run_not_active' });
  await assert.rejects(engine.send(id, { type: 'fail' }), { code: 'run_not_active' });
});
