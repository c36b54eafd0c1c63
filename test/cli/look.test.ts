import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openScene, type Running, type Scene, smallFamily } from './scene.ts';

interface Started {
  address: string;
  origin: string;
  port: number;
  token: string;
}

/** `flyd inspect --json` prints one document when it listens, and goes on. */
async function inspect(scene: Scene): Promise<Started & { running: Running }> {
  const running = scene.run(['inspect', '--port', '0', '--json']);
  let text = '';
  const started = await new Promise<Started>((give, fail) => {
    running.child.stdout?.on('data', (part) => {
      text += part;
      if (text.trimEnd().endsWith('}')) give(JSON.parse(text) as Started);
    });
    void running.ended.then(({ stderr }) => fail(new Error(stderr)));
  });
  return { ...started, running };
}

async function withScene(work: (scene: Scene) => Promise<void>): Promise<void> {
  const scene = await openScene();
  try {
    await scene.putLayers('hello', smallFamily);
    await work(scene);
  } finally {
    await scene.close();
  }
}

test('inspect serves page and runs on loopback, with the same token after a restart, until it is asked to stop', () =>
  withScene(async (scene) => {
    const first = await inspect(scene);
    assert.equal(first.address, `${first.origin}/#token=${first.token}`);
    assert.match(await (await fetch(first.origin)).text(), /<div id="root">/);
    assert.equal((await fetch(`${first.origin}/api/runs`)).status, 401);
    const pulled = await scene.flyd(scene.pullArgs('hello'));
    assert.equal(pulled.code, 0, pulled.stderr);
    const headers = { authorization: `Bearer ${first.token}` };
    const { runs } = (await (await fetch(`${first.origin}/api/runs?machine=pull`, { headers })).json()) as {
      runs: { status: string; about: string }[];
    };
    assert.deepEqual(
      runs.map(({ status, about }) => [status, about]),
      [['done', 'hello']],
    );
    const space = (await (await fetch(`${first.origin}/api/space`, { headers })).json()) as {
      now: unknown[];
    };
    assert.ok(space.now.length > 0);
    first.running.child.kill('SIGTERM');
    assert.equal((await first.running.ended).code, 143);
    const second = await inspect(scene);
    assert.equal(second.token, first.token);
    second.running.child.kill('SIGINT');
    assert.equal((await second.running.ended).code, 130);
  }));

test('a port that is taken is a usage error with the way out', () =>
  withScene(async (scene) => {
    const { port, running } = await inspect(scene);
    const { code, stderr } = await scene.flyd(['inspect', '--port', String(port)]);
    assert.equal(code, 2);
    assert.match(stderr, /--port 0/);
    running.child.kill('SIGTERM');
    await running.ended;
  }));

test('show draws the states that a run passed, with durations, and the runs below it', () =>
  withScene(async (scene) => {
    await scene.flyd(scene.pullArgs('hello'));
    const [pull] = await scene.json<{ id: string }[]>(['runs', '--machine', 'pull']);
    const { stdout } = await scene.flyd(['runs', 'show', pull?.id ?? '']);
    assert.match(stdout, /^ {2}resolving +[\d.]+ m?s +family\.resolve$/m);
    assert.match(stdout, /└ image \(image\) .*done, run [0-9A-Z]{26}/);
    assert.match(stdout, /├ building +\d/);
    assert.match(stdout, /blob\.1 \(blob\)/);
    assert.match(stdout, /└ verified$/m);
  }));

test('watch tells each change until the run has ended, with --json an object a line', () =>
  withScene(async (scene) => {
    scene.hold('hello/1');
    const pull = scene.run(scene.pullArgs('hello'));
    const live = async () => scene.json<{ id: string; machine: string }[]>(['runs', '--live']);
    let id: string | undefined;
    while (id === undefined) id = (await live()).find(({ machine }) => machine === 'pull')?.id;
    const watch = scene.run(['runs', 'watch', id, '--json']);
    const begun = new Promise((give) => watch.child.stdout?.once('data', give));
    await begun;
    scene.release();
    assert.equal((await pull.ended).code, 0);
    const { code, stdout } = await watch.ended;
    assert.equal(code, 0);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { id: string; status: string });
    assert.equal(lines.findLast((line) => line.id === id)?.status, 'done');
    assert.ok(new Set(lines.map((line) => line.id)).size > 1, 'the runs below it, too');
  }));

test('export writes one file with page and history in it, and loads nothing', () =>
  withScene(async (scene) => {
    await scene.flyd(scene.pullArgs('hello'));
    const [pull] = await scene.json<{ id: string }[]>(['runs', '--machine', 'pull']);
    const file = join(scene.folder, 'run.html');
    const answer = await scene.json<{ file: string; runs: number }>([
      'runs',
      'export',
      pull?.id ?? '',
      '--out',
      file,
    ]);
    assert.equal(answer.file, file);
    const html = readFileSync(file, 'utf8');
    const data = JSON.parse(/id="flyd-export">(.*?)<\/script>/s.exec(html)?.[1] ?? '') as {
      root: string;
      runs: { commits: unknown[] }[];
      definitions: { machine: string }[];
    };
    assert.equal(data.root, pull?.id);
    assert.equal(data.runs.length, answer.runs);
    assert.ok(data.runs.every(({ commits }) => commits.length > 0));
    assert.ok(data.definitions.some(({ machine }) => machine === 'blob'));
    assert.doesNotMatch(html.replace(/<script.*?<\/script>|<style.*?<\/style>/gs, ''), /https?:|src=/);
  }));
