import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openScene, type Scene } from './scene.ts';
import * as shapes from './shapes.ts';

let scene: Scene;
before(async () => {
  scene = await openScene();
});
after(() => scene.close());

const commands = [
  ['pull'],
  ['resume'],
  ['runs'],
  ['runs', 'list'],
  ['runs', 'show'],
  ['runs', 'events'],
  ['runs', 'cancel'],
  ['runs', 'retry'],
  ['runs', 'fork'],
  ['runs', 'wait'],
  ['runs', 'send'],
  ['images'],
  ['images', 'show'],
  ['blobs'],
  ['activations'],
  ['activate'],
  ['deactivate'],
  ['rm'],
  ['gc'],
  ['doctor'],
  ['machines'],
  ['machines', 'list'],
  ['machines', 'check'],
  ['settings'],
  ['s3', 'serve'],
];

test('help names every command and the exit codes', async () => {
  const { code, stdout, stderr } = await scene.flyd(['--help']);
  assert.deepEqual([code, stderr], [0, '']);
  for (const [name] of commands) assert.match(stdout, new RegExp(`^ {2}${name}\\b`, 'm'));
  assert.match(stdout, /Exit codes: 0 done, 1 failed or parked, 2 usage, 3 pending, 4 cancelled/);
});

test('every command explains itself', async () => {
  const helps = await Promise.all(commands.map((command) => scene.flyd([...command, '--help'])));
  for (const [at, { code, stdout }] of helps.entries()) {
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^Usage: flyd ${commands[at]?.join(' ')}`));
  }
});

/** What is wrong, and a part of what flyd says. All end with 2, before anything is made. */
const faults: readonly (readonly [string[], RegExp, string])[] = [
  [[], /a command is missing/, 'usage'],
  [['pull'], /missing required argument/, 'usage'],
  [['pul', 'golang'], /unknown command 'pul'/, 'usage'],
  [['runs', '--sideways'], /unknown option/, 'usage'],
  [['pull', 'Golang', '--source', 's3://images'], /lower-case/, 'usage'],
  [['pull', 'golang'], /no source was given/, 'source_missing'],
  [['pull', 'golang', '--source', 'http://images'], /s3:\/\/bucket\/prefix/, 'source_invalid'],
  [
    ['pull', 'golang', '--source', 's3://images', '--endpoint', 'http://192.0.2.1'],
    /plain HTTP/,
    'source_insecure',
  ],
  [['pull', 'golang', '--source', 's3://images', '--driver', 'zfs'], /zfs/, 'usage'],
  [['pull', 'golang', '--source', 's3://images', '--size', 'big'], /512M/, 'usage'],
  [['pull', 'golang', '--source', 's3://images', '--owner', 'me'], /uid:gid/, 'usage'],
  [['pull', 'golang', '--source', 's3://images', '--limit', 'wishes=3'], /wishes is none of/, 'usage'],
  [['s3', 'serve', '.', '--access-key', 'only'], /belong together/, 'usage'],
  [['s3', 'serve', '.', '--host', '0.0.0.0'], /loopback/, 'usage'],
];

test('what is wrong with a command line is said in a line and a hint, and ends with 2', async () => {
  const ended = await Promise.all(faults.map(([args]) => scene.bare(args)));
  for (const [at, { code, stdout, stderr }] of ended.entries()) {
    const [args, pattern, name] = faults[at] ?? assert.fail();
    assert.equal(code, 2, args.join(' '));
    assert.equal(stdout, '');
    assert.match(stderr, pattern);
    assert.match(stderr, new RegExp(`^flyd: .*\\[${name}\\]$`, 'm'));
  }
});

test('under --json the same is one document on stdout', async () => {
  const { code, stdout, stderr } = await scene.flyd(['pull', 'golang', '--json']);
  assert.deepEqual([code, stderr], [2, '']);
  const { error } = shapes.failure.parse(JSON.parse(stdout));
  assert.equal(error.code, 'source_missing');
  for (const way of ['--source', 'FLYD_SOURCE', '--config', 'seed'])
    assert.match(error.hint ?? '', new RegExp(way));
});

test('every fault of the settings is told at once', async () => {
  const config = join(scene.folder, 'flyd.json');
  writeFileSync(config, JSON.stringify({ colour: 'green' }));
  const args = ['runs', '--config', config, '--json'];
  const { code, stdout } = await scene.flyd(args, { FLYD_PARALLEL: 'none', FLYD_SPEED: 'high' });
  assert.equal(code, 2);
  const { error } = shapes.failure.parse(JSON.parse(stdout));
  for (const part of [/colour/, /FLYD_PARALLEL/, /FLYD_SPEED/]) assert.match(error.message, part);
});

test('what does not exist is said so', async () => {
  for (const [args, name] of [
    [['runs', 'show', '01ARZ3NDEKTSV4RRFFQ69G5FAV'], 'run_not_found'],
    [['images', 'show', 'none'], 'image_not_found'],
    [['resume', 'nothing'], 'run_not_found'],
    [['activate', 'none'], 'image_not_found'],
    [['deactivate', 'none'], 'activation_not_found'],
    [['rm', 'none'], 'image_not_found'],
  ] as const) {
    const { error } = shapes.failure.parse(await scene.json([...args], 1));
    assert.equal(error.code, name);
    assert.notEqual(error.hint, null);
  }
});

test('settings shows what is set, and hides no secret because it knows none', async () => {
  const { code, stdout } = await scene.flyd(['settings', '--parallel', '7', '--json'], {
    AWS_SECRET_ACCESS_KEY: 'hush-hush-hush',
    FLYD_REGION: 'eu-north-1',
  });
  assert.equal(code, 0);
  const settings = JSON.parse(stdout) as Record<string, unknown>;
  assert.deepEqual(
    [settings.parallel, settings.region, settings.stateDir],
    [7, 'eu-north-1', scene.stateDir],
  );
  assert.equal(stdout.includes('hush'), false);
});

test('doctor says what this machine can do, and changes nothing', async () => {
  const { checks, ok } = await scene.json<{ ok: boolean; checks: { check: string; verdict: string }[] }>([
    'doctor',
    '--driver',
    'copy',
  ]);
  assert.equal(ok, true);
  for (const name of [
    'node',
    'kernel',
    'root',
    'state directory',
    'driver',
    'driver copy',
    'clock',
    'database',
  ])
    assert.ok(
      checks.some(({ check }) => check === name),
      name,
    );
  const { code, stdout } = await scene.flyd(['doctor']);
  assert.equal(code, 0);
  assert.match(stdout, /^ok {6}node/m);
});
