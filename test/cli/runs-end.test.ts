import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import SqliteDatabase from 'better-sqlite3';
import { openScene, type Scene, smallFamily } from './scene.ts';
import * as shapes from './shapes.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await openScene();
  await scene.putLayers('small', smallFamily);
});
afterEach(() => scene.close());

const idOfPull = async (): Promise<string> =>
  shapes.runs.parse(await scene.json(['runs', '--machine', 'pull'])).at(-1)?.id ?? '';

test('runs kill ends a pull at once, whoever carries it on; then it can be purged', async () => {
  scene.hold('0.tar.gz');
  const run = scene.run(scene.pullArgs('small', '--json'));
  while (!scene.asked.some((path) => path.includes('0.tar.gz'))) {
    assert.equal(run.child.exitCode, null, 'it ended too early');
    await new Promise((give) => setTimeout(give, 10));
  }
  const id = await idOfPull();
  const live = shapes.failure.parse(await scene.json(['runs', 'purge', id], 1));
  assert.equal(live.error.code, 'run_in_use');
  const killed = await scene.json<{ status: string; error: { code: string; message: string } }>([
    ...['runs', 'kill', id, '--reason', 'enough'],
  ]);
  assert.deepEqual(
    [killed.status, killed.error.code, killed.error.message],
    ['cancelled', 'killed', 'enough'],
  );
  assert.equal((await run.ended).code, 4);
  assert.deepEqual(await scene.json(['runs', '--live']), [], 'nor is anything below it left');
  assert.equal(shapes.failure.parse(await scene.json(['runs', 'kill', id], 1)).error.code, 'run_not_active');
  // What it let go when it was killed is below it no more.
  assert.deepEqual(await scene.json(['runs', 'purge', id]), { purged: [id] });
  await scene.json(['runs', 'purge', '--ended-for', '0']);
  assert.deepEqual(await scene.json(['runs']), []);
});

test('runs purge --ended-for deletes histories, and no image; the next pull reuses it', async () => {
  await scene.json(scene.pullArgs('small'));
  const before = shapes.runs.parse(await scene.json(['runs']));
  assert.ok(before.every(({ waitsFor }) => waitsFor.length === 0));
  assert.deepEqual(await scene.json(['runs', 'purge', '--ended-for', '1']), { purged: [] });
  const { purged } = await scene.json<{ purged: string[] }>(['runs', 'purge', '--ended-for', '0']);
  assert.deepEqual(purged.toSorted(), before.map(({ id }) => id).toSorted());
  assert.equal((await scene.json<unknown[]>(['images'])).length, 1);
  const again = shapes.pull.parse(await scene.json(scene.pullArgs('small')));
  assert.equal(again.status, 'done');
  const wrong = shapes.failure.parse(await scene.json(['runs', 'purge'], 2));
  assert.equal(wrong.error.code, 'usage');
});

test('runs that ended long ago are forgotten by themselves, with their histories; images stay', async () => {
  await scene.json(scene.pullArgs('small'));
  const old = shapes.runs.parse(await scene.json(['runs'])).map(({ id }) => id);
  const db = new SqliteDatabase(join(scene.stateDir, 'flyd.db'));
  db.prepare('UPDATE runs SET ended_at = ended_at - ?').run(100 * 86_400_000);
  db.close();
  const left = async () => {
    const runs = shapes.runs.parse(await scene.json(['runs'])).map(({ id }) => id);
    return old.filter((id) => runs.includes(id));
  };
  const kept = await scene.flyd(['gc', '--json'], { FLYD_KEEP_RUNS_DAYS: '200' });
  assert.equal(kept.code, 0, kept.stderr);
  assert.deepEqual(await left(), old);
  // It never holds a command up: what one has no time for is left to the next.
  for (let commands = 0; commands < 10 && (await left()).length > 0; commands++) await scene.json(['gc']);
  assert.deepEqual(await left(), []);
  assert.equal((await scene.json<unknown[]>(['images'])).length, 1);
});
