import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Json, StartOptions } from '#engine/index';
import { input, laboratory, one } from './laboratory.ts';

const failure = Object.assign(new Error('it failed'), { kind: 'unrecoverable', code: 'command_failed' });

/** One machine whose runs of key `bad` fail and whose others end, and the options of its starts. */
function scene(t: Parameters<typeof laboratory>[0]) {
  let fails = false;
  let holds = false;
  const machine = one(({ signal }) => {
    if (fails) return Promise.reject(failure);
    if (!holds) return Promise.resolve<Json>(null);
    return new Promise<Json>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  });
  const other = one(undefined, 'other');
  const { boot, clock } = laboratory(t);
  const { engine } = boot('a', [machine, other]);
  return {
    engine,
    clock,
    other,
    machine,
    /** Starts a run and lets it come to its end, or to where it stays. */
    async start(options: Partial<StartOptions>, how: 'ends' | 'fails' | 'stays' = 'ends') {
      fails = how === 'fails';
      holds = how === 'stays';
      const run = await engine.start(machine, { input, ...options } as never);
      await clock.advance(100);
      return run;
    },
  };
}

test('the id of a run that has ended: joined, or refused', async (t) => {
  const { start, engine } = scene(t);
  await start({ id: 'x' });
  assert.deepEqual(await start({ id: 'x' }), { id: 'x', joined: true });
  assert.deepEqual(await start({ id: 'x', reuse: 'join' }), { id: 'x', joined: true });
  await assert.rejects(start({ id: 'x', reuse: 'refuse' }), { code: 'run_conflict', subject: 'x' });
  assert.equal(engine.history('x').length, 2);
});

test('the id of a live run: joined, or refused', async (t) => {
  const { start } = scene(t);
  await start({ id: 'x' }, 'stays');
  assert.deepEqual(await start({ id: 'x' }), { id: 'x', joined: true });
  await assert.rejects(start({ id: 'x', conflict: 'refuse' }), { code: 'run_conflict', subject: 'x' });
});

test('an id stands for one run for ever', async (t) => {
  const { start, engine, other } = scene(t);
  for (const options of [{ reuse: 'fresh' }, { reuse: 'fresh-if-failed' }, { conflict: 'replace' }] as const)
    await assert.rejects(start({ id: 'x', ...options }), { code: 'usage' });
  await start({ id: 'x' });
  await assert.rejects(engine.start(other, { input, id: 'x' }), { code: 'run_conflict' });
});

test('the key of a run that has ended: a new run, the old one, or an error', async (t) => {
  const { start } = scene(t);
  const first = await start({ key: 'k' });
  const joined = { id: first.id, joined: true };
  assert.deepEqual(await start({ key: 'k', reuse: 'join' }), joined);
  assert.deepEqual(await start({ key: 'k', reuse: 'fresh-if-failed' }), joined);
  await assert.rejects(start({ key: 'k', reuse: 'refuse' }), { code: 'run_conflict', subject: first.id });
  const second = await start({ key: 'k' }, 'fails');
  assert.notEqual(second.id, first.id);
  assert.equal((await start({ key: 'k', reuse: 'join' })).id, second.id);
  const third = await start({ key: 'k', reuse: 'fresh-if-failed' });
  assert.equal(third.joined, false);
  assert.equal((await start({ key: 'other', reuse: 'join' })).joined, false);
});

test('the key of a live run: joined, refused with its id, or replaced', async (t) => {
  const { start, engine } = scene(t);
  const first = await start({ key: 'k' }, 'stays');
  assert.deepEqual(await start({ key: 'k', reuse: 'refuse' }), { id: first.id, joined: true });
  await assert.rejects(start({ key: 'k', conflict: 'refuse' }), {
    code: 'run_conflict',
    subject: first.id,
    hint: /replace/,
  });
  const next = await start({ key: 'k', conflict: 'replace' }, 'stays');
  assert.equal(next.joined, false);
  assert.equal(engine.run(first.id).status, 'cancelled');
  assert.equal(engine.run(next.id).status, 'running');
  assert.equal((await start({ key: 'k' })).id, next.id);
});

test('wishes that make no sense are refused before anything is written', async (t) => {
  const { start, engine } = scene(t);
  for (const options of [
    { queue: 'nowhere' },
    { priority: 0.5 },
    { startAt: 1, delayMs: 1 },
    { delayMs: Number.NaN },
  ])
    await assert.rejects(start(options), { code: 'usage' });
  assert.deepEqual(engine.runs(), []);
});

test('two processes start one id at once: one run, and both are given it', async (t) => {
  const machine = one();
  const { boot, clock, rows } = laboratory(t);
  let other: (() => Promise<unknown>) | null = null;
  const answers: unknown[] = [];
  const begin = (): void => {
    // The other one comes in between: after everything that this one has read, before it writes.
    const start = other;
    other = null;
    if (start !== null) void start().then((answer) => answers.push(answer));
  };
  const a = boot('a', [machine], { begin });
  const b = boot('b', [machine]);
  // Both are owners already, so that nothing but the start is written.
  await a.engine.start(machine, { input, id: 'warm-a' });
  await b.engine.start(machine, { input, id: 'warm-b' });
  await clock.advance(100);
  other = () => b.engine.start(machine, { input, id: 'x' });
  answers.push(await a.engine.start(machine, { input, id: 'x' }));
  await clock.advance(100);
  assert.deepEqual(answers.map((answer) => (answer as { joined: boolean }).joined).toSorted(), [false, true]);
  assert.deepEqual(rows("SELECT count(*) AS n FROM runs WHERE uid = 'x'"), [{ n: 1 }]);
  assert.equal(a.engine.run('x').status, 'done');
});
