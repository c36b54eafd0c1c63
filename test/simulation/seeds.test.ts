import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const seeds = Number(process.env.FLYD_TEST_SEEDS ?? 10_000);

/** The command that a person runs, on every core; what it prints is the proof that it did. */
function simulateMany(): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ['bin/run.js', 'scripts/simulate.ts', '--seeds', String(seeds)], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, output })));
}

test(`whatever fails, no law is broken: ${seeds} seeds`, async (t) => {
  const { code, output } = await simulateMany();
  const last = output.trim().split('\n').at(-1) ?? '';
  t.diagnostic(last);
  assert.equal(code, 0, output.slice(-20_000));
  assert.match(last, new RegExp(`^${seeds} of ${seeds} seeds, 0 failed`));
});
