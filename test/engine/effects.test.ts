import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setup } from 'xstate';
import { recoverable } from '#core/errors';
import {
  type Definition,
  defineMachine,
  type Effect,
  type EffectPolicy,
  effect,
  type Json,
} from '#engine/index';
import { input, laboratory, type None } from './laboratory.ts';

const machine = setup({
  types: { output: {} as Json, events: {} as { type: 'flyd.cancel' } },
  actors: { work: effect<None, Json>(), undo: effect<None, Json>() },
}).createMachine({
  id: 'watched',
  initial: 'working',
  states: {
    working: {
      on: { 'flyd.cancel': 'undoing' },
      invoke: { id: 'work', src: 'work', input: {}, onDone: 'worked' },
    },
    undoing: { invoke: { id: 'undo', src: 'undo', input: {}, onDone: 'undone' } },
    worked: { type: 'final' },
    undone: { type: 'final', tags: ['cancelled'] },
  },
  output: null,
});

const watched = (
  work: Effect<None, Json>,
  policy: EffectPolicy,
  undo: Effect<None, Json> = async () => null,
): Definition<unknown, Json> =>
  defineMachine({ name: 'watched', version: 1, machine, actors: { work, undo }, effects: { work: policy } });

const attempts = (attemptsMax: number) => ({ recoverable: { attemptsMax, pauseMs: 10, pauseMsMax: 10 } });
/** Never ends by itself, and stops when it is told to. */
const hang = (signal: AbortSignal): Promise<Json> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
const codeOf = (signal: AbortSignal): string => (signal.reason as { code: string }).code;

test('an attempt that takes too long is aborted and tried again, and spent attempts park the run', async (t) => {
  const { boot, clock } = laboratory(t);
  const seen: string[] = [];
  const slow = watched(
    ({ signal, attempt }) => {
      signal.addEventListener('abort', () => seen.push(`${attempt} ${codeOf(signal)}`));
      return hang(signal);
    },
    { timeoutMs: 1000, retry: attempts(2) },
  );
  const { engine } = boot('A', [slow]);
  const { id } = await engine.start(slow, { input });
  await clock.advance(999);
  assert.deepEqual(seen, []);
  await clock.advance(2000);
  assert.deepEqual(seen, ['1 effect_timeout', '2 effect_timeout']);
  assert.equal(engine.run(id).status, 'parked');
  assert.equal(engine.run(id).error?.code, 'effect_timeout');
  assert.deepEqual(
    engine.history(id).map(({ event }) => event),
    ['xstate.init', 'flyd.retry', 'flyd.parked'],
  );
});

test('a timeout is told at once, and the next attempt waits for the last to wind down', async (t) => {
  const { boot, clock } = laboratory(t);
  let [running, twins, started] = [0, 0, 0];
  let release = (): void => {};
  const deaf = watched(
    async () => {
      started += 1;
      if (++running > 1) twins += 1;
      if (started === 1)
        await new Promise<void>((resolve) => {
          release = resolve;
        });
      running -= 1;
      return null;
    },
    { timeoutMs: 100, retry: attempts(5) },
  );
  const { engine } = boot('A', [deaf]);
  const { id } = await engine.start(deaf, { input });
  await clock.advance(5000);
  assert.equal(started, 1);
  assert.equal(engine.run(id).error?.code, 'effect_timeout');
  assert.equal(engine.run(id).attempts, 1);
  release();
  await clock.advance(100);
  assert.deepEqual([started, twins, engine.run(id).status], [2, 0, 'done']);
});

test('an attempt lives as long as it shows signs of life, and no longer', async (t) => {
  const { boot, clock } = laboratory(t);
  let beat = (): void => {};
  let tell = (): void => {};
  const beating = watched(
    ({ signal, heartbeat, progress }) => {
      beat = () => heartbeat();
      tell = () => progress({ done: 1, total: null, unit: 'bytes' });
      return hang(signal);
    },
    { heartbeatMs: 1000, retry: attempts(1) },
  );
  const { engine } = boot('A', [beating]);
  const { id } = await engine.start(beating, { input });
  for (let time = 0; time < 10; time++) {
    await clock.advance(900);
    (time % 2 === 0 ? beat : tell)();
  }
  assert.equal(engine.run(id).status, 'running');
  await clock.advance(999);
  assert.equal(engine.run(id).status, 'running');
  await clock.advance(400);
  assert.equal(engine.run(id).status, 'parked');
  assert.equal(engine.run(id).error?.code, 'heartbeat_missed');
});

test('what an attempt saved is there for the next, also after a crash and in another process', async (t) => {
  const { boot, clock, rows } = laboratory(t);
  const seen: Json[] = [];
  const counting = (failAt: number): Definition<unknown, Json> =>
    watched(
      async ({ saved, heartbeat, signal }) => {
        seen.push(saved);
        for (let at = Number(saved ?? 0) + 1; at <= 8; at++) {
          heartbeat(at);
          if (at === failAt) throw recoverable('source_unavailable', 'half-way');
          if (at === 6 && failAt === 4) return hang(signal);
        }
        return null;
      },
      { retry: attempts(5) },
    );
  const first = boot('A', [counting(4)]);
  const { id } = await first.engine.start(counting(4), { input });
  await clock.advance(100);
  assert.deepEqual(seen, [null, 4], 'the failure stored the newest position');
  await clock.advance(1100);
  assert.deepEqual(rows('SELECT saved FROM effects'), [{ saved: '6' }], 'and then once a second');
  first.die();
  const { engine } = boot('B', [counting(-1)]);
  await engine.resume();
  await clock.advance(100);
  assert.deepEqual(seen, [null, 4, 6]);
  assert.equal(engine.run(id).status, 'done');
});

test('saving is throttled, fills no history, and a close loses nothing', async (t) => {
  const { boot, clock, rows } = laboratory(t);
  let save: (position: Json) => void = () => {};
  const saving = watched(({ heartbeat, signal }) => {
    save = heartbeat;
    return hang(signal);
  }, {});
  const process = boot('A', [saving]);
  const { id } = await process.engine.start(saving, { input });
  await clock.advance(10);
  const writes: Json[] = [];
  for (let at = 1; at <= 30; at++) {
    save({ at });
    await clock.advance(100);
    const [{ saved }] = rows('SELECT saved FROM effects') as [{ saved: string }];
    if (writes.at(-1) !== saved) writes.push(saved);
  }
  assert.deepEqual(writes, ['{"at":1}', '{"at":10}', '{"at":20}', '{"at":30}']);
  assert.equal(process.engine.history(id).length, 1);
  save({ at: 31 });
  await process.close();
  assert.deepEqual(rows('SELECT saved FROM effects'), [{ saved: '{"at":31}' }]);
});

test('progress that would not survive JSON, or is large, is refused where it is saved', async (t) => {
  const { boot, clock } = laboratory(t);
  for (const [position, code] of [
    [new Date(0), 'not_serialisable'],
    ['x'.repeat(70_000), 'snapshot_too_large'],
  ] as const) {
    const wrong = watched(async ({ heartbeat }) => {
      heartbeat(position as never);
      return null;
    }, {});
    const { engine } = boot(`for ${code}`, [wrong]);
    const { id } = await engine.start(wrong, { input });
    await clock.advance(100);
    assert.equal(engine.run(id).error?.code, code);
  }
});

test('a new effect begins without what the last one saved, and a late sign of an old one changes nothing', async (t) => {
  const { boot, clock } = laboratory(t);
  let late: (position: Json) => void = () => {};
  const seen: Json[] = [];
  const first = watched(
    ({ heartbeat, signal }) => {
      late = heartbeat;
      heartbeat('far');
      return hang(signal);
    },
    {},
    async ({ saved }) => {
      seen.push(saved);
      late('too late');
      return null;
    },
  );
  const { engine } = boot('A', [first]);
  const { id } = await engine.start(first, { input });
  await clock.advance(10);
  await engine.cancel(id);
  await clock.advance(2000);
  assert.deepEqual(seen, [null]);
  assert.equal(engine.run(id).status, 'cancelled');
});

test('each actor has a policy of its own, and the rest of it is the engine’s', async (t) => {
  const { boot, clock } = laboratory(t);
  let tries = 0;
  const stubborn = watched(
    async () => {
      if (++tries < 5) throw recoverable('source_unavailable', 'again');
      return null;
    },
    { retry: { recoverable: { attemptsMax: 9 } } },
  );
  const { engine } = boot('A', [stubborn]);
  const { id } = await engine.start(stubborn, { input });
  await clock.advance(1000);
  assert.deepEqual([tries, engine.run(id).status], [5, 'done']);
});

test('policies of what is no effect, and deadlines of nothing, are refused when the machine is defined', () => {
  const define = (effects: Record<string, EffectPolicy>) =>
    defineMachine({
      ...{ name: 'watched', version: 1, machine, effects },
      actors: { work: async () => null, undo: async () => null },
    });
  assert.throws(() => define({ wrok: { timeoutMs: 5 } }), { code: 'machine_refused', message: /'wrok'/ });
  assert.throws(() => define({ work: { timeoutMs: 0 } }), { code: 'machine_refused', message: /0 ms/ });
});
