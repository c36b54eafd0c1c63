import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { keepGoing, StepClock } from '../../bench/engine/clock.ts';
import { cpuMsOf } from '../../bench/engine/cpu.ts';
import { fsyncsWithin } from '../../bench/engine/fsyncs.ts';
import { names } from '../../bench/engine/rivals.ts';
import { tableOf, targets, titles } from '../../bench/engine/verdict.ts';
import { type Result, resultOf } from '../../bench/result.ts';

test('a step counts when the next effect begins or the run has ended, and only while the clock is open', () => {
  const clock = new StepClock();
  clock.begin('a');
  clock.begin('a');
  clock.open();
  clock.begin('b');
  clock.begin('a');
  clock.begin('b');
  clock.end('b');
  clock.end('never begun');
  const { steps, seconds, p50Ms, p99Ms } = clock.close();
  assert.equal(steps, 3);
  assert.ok(seconds > 0 && p50Ms > 0 && p99Ms >= p50Ms);
});

test('so many runs are under way, each followed by a new one, until it is over', async () => {
  const names = new Set<string>();
  let running = 0;
  let most = 0;
  await keepGoing(
    4,
    async (name) => {
      names.add(name);
      most = Math.max(most, ++running);
      await new Promise((done) => setImmediate(done));
      running -= 1;
    },
    () => names.size >= 20,
  );
  assert.equal(most, 4);
  assert.equal(running, 0);
  assert.ok(names.size >= 20);
});

test('the CPU time of children counts, while they live and after they have ended', async () => {
  const before = cpuMsOf(process.pid);
  const busy = 'const end = process.cpuUsage().user + 300_000; while (process.cpuUsage().user < end);';
  const script = `${busy} console.log('done'); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((done) => child.stdout.once('data', done));
  assert.ok(cpuMsOf(process.pid) - before >= 300);
  assert.ok(cpuMsOf(child.pid ?? 0) >= 300);
  const ended = new Promise((done) => child.once('exit', done));
  child.kill('SIGKILL');
  await ended;
  assert.ok(cpuMsOf(process.pid) - before >= 300);
});

test('of the calls in a log those count that began within the time', () => {
  const folder = mkdtempSync(join(tmpdir(), 'flyd-bench-engine-'));
  try {
    const log = join(folder, 'log');
    writeFileSync(
      log,
      [
        '11 100.000000 fsync(3) = 0',
        '11 101.000000 fdatasync(3 <unfinished ...>',
        '12 101.200000 fsync(4) = 0',
        '11 101.300000 <... fdatasync resumed>) = 0',
        '12 103.000000 fsync(4) = 0',
      ].join('\n'),
    );
    assert.equal(fsyncsWithin(log, 100_500, 102_000), 2);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the table and the verdicts say what the results say', () => {
  const result = (title: string, subject: string, ...values: number[]): Result =>
    resultOf({ case: title, subject, version: '1', unit: 'x' }, values);
  const results = [
    result(titles.steps(64), names.flyd, 19_000, 20_000, 21_000),
    result(titles.transitions(64), names.flyd, 22_000),
    result(titles.steps(64), names.restate, 400),
    result(titles.fsyncs(64), names.restate, 0.01234),
  ];
  const table = tableOf(results, [64]).join('\n');
  assert.match(table, /64 +\| flyd +\| 20,000 \(19,000 to 21,000\)/);
  assert.match(table, /Restate, @restatedev\/xstate +\| 400 .*\| 50 times .*0\.0123/);
  assert.deepEqual(
    targets(results).map(({ text, met }) => [text, met]),
    [
      ['transitions a second, 64 at once: 22,000, wanted 30,000', false],
      ["times Restate's, embedded against networked, 64 at once: 50.0, wanted 8", true],
    ],
  );
});
