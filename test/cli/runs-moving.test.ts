import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openScene, type Scene, smallFamily } from './scene.ts';
import * as shapes from './shapes.ts';

let scene: Scene;
before(async () => {
  scene = await openScene();
  await scene.putLayers('small', smallFamily);
});
after(() => scene.close());

interface Run {
  id: string;
  status: string;
  forkedFrom: { run: string; seq: number } | null;
}

const pullOf = async (args: readonly string[], environment: Record<string, string> = {}) => {
  const { stdout, stderr } = await scene.flyd([...scene.pullArgs('small', ...args), '--json'], environment);
  assert.notEqual(stdout, '', stderr);
  return shapes.pull.parse(JSON.parse(stdout));
};
const stepTo = async (run: string, state: string): Promise<number> => {
  const events = shapes.events.parse(await scene.json(['runs', 'events', run]));
  return events.find(({ to }) => to === state)?.seq ?? assert.fail(`${run} was never ${state}`);
};

test('a pull that failed is brought back, and goes on from before it failed', async () => {
  const failed = await pullOf(['--name', 'one'], { FLYD_FAULT: 'effect:activation.choose:before:fail' });
  assert.equal(failed.status, 'failed');
  const done = shapes.pull.parse(await scene.json(['runs', 'retry', failed.run]));
  assert.deepEqual([done.run, done.status], [failed.run, 'done']);
  const events = shapes.events.parse(await scene.json(['runs', 'events', failed.run]));
  assert.equal(events.filter(({ event }) => event === 'flyd.reset').length, 1);
  // A run that is done is not: a copy of it can go on from any step.
  const refused = shapes.failure.parse(await scene.json(['runs', 'retry', failed.run], 1));
  assert.equal(refused.error.code, 'run_not_active');
});

test('a fork goes on from a step of a run that is done, and makes an activation of its own', async () => {
  const first = await pullOf([]);
  const at = await stepTo(first.run, 'activating');
  const fork = shapes.pull.parse(await scene.json(['runs', 'fork', first.run, '--at', String(at)]));
  assert.equal(fork.status, 'done');
  assert.notEqual(fork.activation?.id, first.activation?.id);
  const shown = await scene.json<Run>(['runs', 'show', fork.run]);
  assert.deepEqual(shown.forkedFrom, { run: first.run, seq: at });
  const late = shapes.failure.parse(await scene.json(['runs', 'fork', first.run, '--at', '999'], 1));
  assert.equal(late.error.code, 'run_not_found');
});

test('a run set back to where something was under way that was finished since is refused', async () => {
  const failed = await pullOf([], { FLYD_FAULT: 'effect:activation.choose:before:fail' });
  const refused = shapes.failure.parse(await scene.json(['runs', 'retry', failed.run, '--from', '1'], 1));
  assert.equal(refused.error.code, 'reset_refused');
});

test('anybody can wait for a run that another process carries on', async () => {
  await scene.putLayers('slow', smallFamily);
  scene.hold('slow/1');
  const pull = scene.run([...scene.pullArgs('slow'), '-v']);
  await pull.says(/blob/);
  const [live] = await scene.json<Run[]>(['runs', '--live', '--machine', 'pull']);
  const waiting = scene.flyd(['runs', 'wait', live?.id ?? '', '--json']);
  scene.release();
  const { code, stdout, stderr } = await waiting;
  assert.equal(code, 0, stderr);
  assert.equal((JSON.parse(stdout) as { status: string }).status, 'done');
  assert.equal((await pull.ended).code, 0);
  const never = shapes.failure.parse(await scene.json(['runs', 'wait', live?.id ?? '', '--tag', 'shiny'], 1));
  assert.equal(never.error.code, 'tag_unreachable');
});

test('an event for a run that has ended is refused, and nonsense is said before anything is done', async () => {
  const [done] = await scene.json<Run[]>(['runs', '--status', 'done', '--machine', 'pull']);
  const late = shapes.failure.parse(await scene.json(['runs', 'send', done?.id ?? '', 'poke'], 1));
  assert.equal(late.error.code, 'run_not_active');
  for (const wrong of [
    ['send', 'x', 'poke', '--data', '[1]'],
    ['send', 'x', 'poke', '--data', '{'],
    ['fork', 'x'],
    ['fork', 'x', '--at', '0'],
    ['retry', 'x', '--from', 'here'],
  ]) {
    const { code, stderr } = await scene.flyd(['runs', ...wrong]);
    assert.equal(code, 2, stderr);
  }
});
