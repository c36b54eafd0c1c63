import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { openScene, type Running, type Scene, smallFamily } from './scene.ts';
import * as shapes from './shapes.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await openScene();
  await scene.putLayers('small', smallFamily);
});
afterEach(() => scene.close());

/** A pull that is fetching, and gets no byte. */
async function stuckPull(...more: string[]): Promise<{ run: Running; id: string }> {
  scene.hold('0.tar.gz');
  const run = scene.run(scene.pullArgs('small', ...more));
  await until(() => scene.asked.some((path) => path.includes('0.tar.gz')), run);
  return { run, id: await idOfPull() };
}

async function until(holds: () => boolean | Promise<boolean>, run: Running): Promise<void> {
  while (!(await holds())) {
    assert.equal(run.child.exitCode, null, 'it ended too early');
    await new Promise((give) => setTimeout(give, 10));
  }
}

async function idOfPull(): Promise<string> {
  const runs = shapes.runs.parse(await scene.json(['runs', '--machine', 'pull']));
  assert.equal(runs.length, 1);
  return runs[0]?.id ?? '';
}

for (const [signal, code] of [
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const)
  test(`${signal} ends a pull with ${code}; it stays resumable, and resume finishes it`, async () => {
    const { run, id } = await stuckPull('--json');
    run.child.kill(signal);
    const ended = await run.ended;
    assert.equal(ended.code, code, ended.stderr);
    const document = shapes.pull.parse(JSON.parse(ended.stdout));
    assert.equal(document.run, id);
    assert.equal(document.error?.code, 'interrupted');
    assert.ok(!['done', 'failed', 'cancelled'].includes(document.status));

    scene.release();
    const resumed = shapes.pull.parse(await scene.json(['resume', id]));
    assert.equal(resumed.run, id);
    assert.equal(resumed.status, 'done');
  });

test('without --json the last line says how to go on', async () => {
  const { run, id } = await stuckPull();
  run.child.kill('SIGTERM');
  const { code, stderr } = await run.ended;
  assert.equal(code, 143);
  assert.match(stderr, new RegExp(`run ${id} stays resumable: flyd resume ${id}`));
});

test('a second, other signal ends it at once', async () => {
  const { run } = await stuckPull();
  run.child.kill('SIGINT');
  run.child.kill('SIGTERM');
  const { code } = await run.ended;
  assert.ok(code === 143 || code === 130, String(code));
  assert.equal((await scene.json<unknown[]>(['runs', '--live', '--machine', 'pull'])).length, 1);
});

test('after kill -9 the same pull goes on with the same run', async () => {
  const { run, id } = await stuckPull();
  run.child.kill('SIGKILL');
  await run.ended;
  scene.release();
  const again = shapes.pull.parse(await scene.json(scene.pullArgs('small')));
  assert.equal(again.run, id);
  assert.equal(again.status, 'done');
  assert.equal((await scene.json<unknown[]>(['runs', '--machine', 'pull'])).length, 1);
});

test('another request does not adopt it', async () => {
  const { run, id } = await stuckPull();
  run.child.kill('SIGKILL');
  await run.ended;
  scene.release();
  const other = shapes.pull.parse(await scene.json(scene.pullArgs('small', '--no-activate')));
  assert.notEqual(other.run, id);
});

test('resume without a run carries on all that nobody carries on', async () => {
  const { run, id } = await stuckPull();
  run.child.kill('SIGKILL');
  await run.ended;
  scene.release();
  const documents = await scene.json<{ run: string; status: string }[]>(['resume', '--all']);
  assert.deepEqual(
    documents.map(({ run: each, status }) => ({ each, status })),
    [{ each: id, status: 'done' }],
  );
  assert.deepEqual(await scene.json(['resume']), []);
});

test('two pulls of one image do the work once, and each gets its activation', async () => {
  scene.hold('0.tar.gz');
  const first = scene.run([...scene.pullArgs('small'), '--json']);
  await until(() => scene.asked.some((path) => path.includes('0.tar.gz')), first);
  const second = scene.run(scene.pullArgs('small'));
  await second.says(/another process fetches it; waiting/);
  scene.release();
  const [one, two] = await Promise.all([first.ended, second.ended]);
  assert.deepEqual([one.code, two.code], [0, 0], one.stderr + two.stderr);
  assert.equal(scene.asked.filter((path) => path.includes('0.tar.gz')).length, 1);
  assert.equal((await scene.json<unknown[]>(['activations'])).length, 2);
});

/** A manifest names a layer that is not in the bucket yet. */
function expectLate(): void {
  const late = join(scene.folder, 'buckets/images/small/1.tar.zst');
  const size = readFileSync(late).length;
  const first = readFileSync(join(scene.folder, 'buckets/images/small/0.tar.gz')).length;
  const layers = [
    { name: '0.tar.gz', size: first },
    { name: '1.tar.zst', size },
  ];
  scene.put('small/manifest.json', JSON.stringify({ layers }));
  renameSync(late, join(scene.folder, 'late'));
}

const arrive = (): void =>
  renameSync(join(scene.folder, 'late'), join(scene.folder, 'buckets/images/small/1.tar.zst'));

test('a layer that is not there yet: --no-wait ends with 3, resume goes on when it has come', async () => {
  expectLate();
  const pending = shapes.pull.parse(await scene.json(scene.pullArgs('small', '--no-wait'), 3));
  assert.equal(pending.status, 'pending');
  assert.equal(pending.error?.kind, 'pending');
  const again = shapes.pull.parse(await scene.json(scene.pullArgs('small', '--no-wait'), 3));
  assert.equal(again.run, pending.run, 'the same request is the same run');
  arrive();
  const done = shapes.pull.parse(await scene.json(['resume', pending.run]));
  assert.equal(done.status, 'done');
});

test('without --no-wait it looks again until the layer has come', async () => {
  expectLate();
  const run = scene.run(scene.pullArgs('small'));
  await run.says(/^waiting: /m);
  arrive();
  const { code, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
});

test('a run is cancelled by whoever asks: its own process ends with 4, and what it made is gone', async () => {
  const { run, id } = await stuckPull('--json');
  const cancelled = await scene.json<{ run: string; status: string }>(['runs', 'cancel', id]);
  assert.deepEqual([cancelled.run, cancelled.status], [id, 'cancelled']);
  const { code, stdout } = await run.ended;
  assert.equal(code, 4);
  assert.equal(shapes.pull.parse(JSON.parse(stdout)).status, 'cancelled');
  assert.deepEqual(await scene.json(['images']), []);
  const late = shapes.failure.parse(await scene.json(['runs', 'cancel', id], 1));
  assert.equal(late.error.code, 'run_not_active');
});

test('a parked run says why; retry carries it on', async () => {
  scene.put('small/0.tar.gz', 'no archive at all');
  const bad = shapes.pull.parse(await scene.json(scene.pullArgs('small'), 1));
  assert.equal(bad.status, 'failed');
  assert.equal(bad.error?.code, 'layer_corrupt');

  await scene.putLayers('small', smallFamily);
  const parked = scene.flyd([...scene.pullArgs('small'), '--json'], {
    FLYD_RETRY: 'attempts=1',
    FLYD_FAULT: 'effect:volume.create:before:throw',
  });
  const { code, stdout } = await parked;
  assert.equal(code, 1);
  const document = shapes.pull.parse(JSON.parse(stdout));
  assert.equal(document.status, 'parked');
  assert.equal(document.error?.code, 'fault_injected');
  const done = shapes.pull.parse(await scene.json(['runs', 'retry', document.run]));
  assert.equal(done.status, 'done');
  assert.ok(existsSync(join(scene.stateDir, 'flyd.db')));
});

test('the same pull again lets a parked run try again', async () => {
  const first = await scene.flyd([...scene.pullArgs('small'), '--json'], {
    FLYD_RETRY: 'attempts=1',
    FLYD_FAULT: 'effect:activation.snapshot:before:throw',
  });
  const parked = shapes.pull.parse(JSON.parse(first.stdout));
  assert.equal(parked.status, 'parked', first.stderr);
  const again = shapes.pull.parse(await scene.json(scene.pullArgs('small')));
  assert.deepEqual([again.run, again.status], [parked.run, 'done']);
});

test('a run whose process is gone is cancelled by whoever asks', async () => {
  const { run, id } = await stuckPull();
  run.child.kill('SIGKILL');
  await run.ended;
  const cancelled = await scene.json<{ status: string }>(['runs', 'cancel', id]);
  assert.equal(cancelled.status, 'cancelled');
  assert.deepEqual(await scene.json(['runs', '--live']), [], 'nor is anything below it left');
});
