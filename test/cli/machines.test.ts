import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import SqliteDatabase from 'better-sqlite3';
import { openScene, type Scene, smallFamily } from './scene.ts';

let scene: Scene;
before(async () => {
  scene = await openScene();
  await scene.putLayers('small', smallFamily);
});
after(() => scene.close());

interface Checked {
  goOn: boolean;
  runs: { machine: string; verdict: string; error: { hint?: string } | null }[];
}

test('flyd machines lists them; check says yes where nothing was done, and makes nothing', async () => {
  const machines = await scene.json<{ name: string; version: number }[]>(['machines']);
  assert.ok(machines.some(({ name, version }) => name === 'pull' && version > 0));
  assert.deepEqual(await scene.json(['machines', 'check']), { goOn: true, runs: [] });
});

test('flyd machines check tells which live runs this build cannot carry on', async () => {
  scene.hold('1.tar.zst');
  const pulling = scene.run(scene.pullArgs('small', '--driver', 'copy', '--no-activate'));
  while (!scene.asked.some((path) => path.includes('1.tar.zst')))
    await new Promise((resolve) => setTimeout(resolve, 20));
  const good = await scene.json<Checked>(['machines', 'check']);
  assert.equal(good.goOn, true);
  assert.ok(good.runs.some(({ machine, verdict }) => machine === 'blob' && verdict === 'same'));
  pulling.child.kill('SIGKILL');
  await pulling.ended;
  scene.release();
  const db = new SqliteDatabase(join(scene.stateDir, 'flyd.db'));
  db.exec("UPDATE runs SET machine = 'blub' WHERE machine = 'blob' AND ended_at IS NULL");
  db.exec("UPDATE runs SET version = 7 WHERE machine = 'image'");
  db.close();
  const bad = await scene.json<Checked>(['machines', 'check'], 1);
  assert.equal(bad.goOn, false);
  assert.equal(bad.runs.find(({ machine }) => machine === 'blub')?.verdict, 'unknown');
  const image = bad.runs.find(({ machine }) => machine === 'image');
  assert.equal(image?.verdict, 'refused');
  assert.match(image.error?.hint ?? '', /migration/);
  const { code, stdout, stderr } = await scene.flyd(['machines', 'check']);
  assert.equal(code, 1);
  assert.match(stdout, /RUN +MACHINE +VERSION +STATE +VERDICT/);
  assert.match(stderr, /live runs cannot go on with this build/);
});
