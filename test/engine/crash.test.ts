import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { defineMachine } from '#engine/index';
import { engineIn, tempFolder } from '../support/engine.ts';
import { orderMachine } from './order.ts';

const script = join(import.meta.dirname, 'order-process.ts');
const runProcess = (folder: string, ...args: string[]) =>
  spawnSync(process.execPath, [script, folder, ...args], { encoding: 'utf8', timeout: 30_000 });
const lines = (file: string): string[] =>
  existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];

test('killed at any commit or effect and started again, a run ends as an undisturbed one', (t) => {
  const root = tempFolder(t);
  const record = join(root, 'record');
  mkdirSync(record);
  const undisturbed = runProcess(record, 'record');
  const verdict = undisturbed.stdout.split('\n')[1];
  assert.equal(verdict, 'done shipped {"charge":"ch-1"}', undisturbed.stderr);
  const points = lines(join(record, 'points'));
  assert.ok(points.length >= 10, points.join());
  for (const [index, point] of points.entries()) {
    const folder = join(root, String(index));
    mkdirSync(folder);
    const nth = points.slice(0, index + 1).filter((other) => other === point).length;
    const killed = runProcess(folder, 'kill', point, String(nth));
    assert.equal(killed.signal, 'SIGKILL', `${point} was not met`);
    const again = runProcess(folder, 'run');
    assert.equal(again.stdout.split('\n')[1], verdict, `after a kill at ${point}: ${again.stderr}`);
    const calls = lines(join(folder, 'ledger'));
    // Killed after its end it is no longer there to resume: the second process runs a new order.
    if (point === 'commit:order:3:after') continue;
    const charges = calls.filter((call) => call.startsWith('charge')).length;
    const committed = points.indexOf('commit:order:2:after') <= index;
    // The effect in flight may be repeated, never one whose completion was committed.
    assert.ok(charges === 1 || !committed, `${point}: charge ran ${charges} times`);
    assert.ok(new Set(calls).size <= 2, `${point}: effect ids changed over the crash: ${calls.join()}`);
  }
});

test('the runs of a killed process are taken over, those of a living one are not', async (t) => {
  const folder = tempFolder(t);
  const holder = spawn(process.execPath, [script, folder, 'hold'], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => holder.kill('SIGKILL'));
  const [id = ''] = await new Promise<string[]>((resolve) =>
    holder.stdout.once('data', (data: Buffer) => resolve(String(data).split('\n'))),
  );
  const order = defineMachine({
    name: 'order',
    version: 1,
    machine: orderMachine,
    key: (input) => input.order,
    actors: {
      charge: async () => assert.fail('charged again'),
      ship: async () => null,
      refund: async () => null,
    },
  });
  const engine = engineIn(t, folder, [order]);
  while (engine.run(id).state !== 'shipping') await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(await engine.resume(), []);
  const joined = await engine.start(order, { input: { order: 'o-1', amount: 5 } });
  assert.deepEqual(joined, { id, joined: true });
  const waiting = engine.wait(id);
  holder.kill('SIGKILL');
  assert.equal((await waiting).status, 'done');
});

test('SIGTERM stops the process with 143 and leaves the run to anybody', async (t) => {
  const folder = tempFolder(t);
  const holder = spawn(process.execPath, [script, folder, 'hold'], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => holder.kill('SIGKILL'));
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  while (!lines(join(folder, 'ledger')).some((call) => call.startsWith('ship')))
    await new Promise((resolve) => setTimeout(resolve, 5));
  holder.kill('SIGTERM');
  assert.equal(await new Promise((resolve) => holder.once('exit', resolve)), 143);
  const again = runProcess(folder, 'run');
  assert.match(again.stdout, /done shipped/);
});

test('a cancel from another process reaches the owner', async (t) => {
  const folder = tempFolder(t);
  const holder = spawn(process.execPath, [script, folder, 'hold'], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => holder.kill('SIGKILL'));
  const [id = ''] = await new Promise<string[]>((resolve) =>
    holder.stdout.once('data', (data: Buffer) => resolve(String(data).split('\n'))),
  );
  const order = defineMachine({
    name: 'order',
    version: 1,
    machine: orderMachine,
    actors: {
      charge: async () => ({ charge: '' }),
      ship: async () => null,
      refund: async () => assert.fail('not here'),
    },
  });
  const engine = engineIn(t, folder, [order]);
  while (engine.run(id).state !== 'shipping') await new Promise((resolve) => setTimeout(resolve, 5));
  await engine.cancel(id, { reason: 'from outside' });
  assert.equal((await engine.wait(id)).status, 'cancelled');
  assert.notEqual(
    engine.history(id).find(({ event }) => event === 'flyd.cancel'),
    undefined,
  );
});
