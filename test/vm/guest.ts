import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const checkout = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const vm = join(checkout, 'scripts/vm');

/** Why no guest can run here and how to mend it, or null when one can. */
export function whyNoGuest(): string | null {
  const { status, stdout } = spawnSync(vm, ['--check'], { encoding: 'utf8' });
  return status === 0 ? null : `no guest can run here: ${stdout.trim().replaceAll('\n', '; ')}`;
}

export interface Outcome {
  /** As a shell would see it; null when a signal ended scripts/vm. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Starts `scripts/vm` with these arguments; what it prints is in the promise. */
export function startVm(
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): { child: ChildProcess; ended: Promise<Outcome> } {
  const child = spawn(vm, args, { cwd: checkout, stdio: ['ignore', 'pipe', 'pipe'], env });
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<Outcome>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
}

/** Runs `scripts/vm` to its end. */
export const runVm = (...args: string[]): Promise<Outcome> => startVm(args).ended;

export interface StepResult {
  code: number;
  seconds: number;
  /** Standard output and error, in the order in which they came. */
  output: string;
}

export interface GroupOptions {
  /** Options of scripts/vm: disks, memory. */
  options: readonly string[];
  /** Scripts of `test/vm/steps/`, without `.sh`, run in this order; all of them, also after a failure. */
  steps: readonly string[];
  /** After these the whole guest is stopped; steps that did not run have no result. */
  timeoutSeconds: number;
}

/**
 * Boots one guest, runs all steps in it and gives their results by name, and how the guest itself
 * ended. A booted guest costs seconds, so steps that do not disturb each other share one.
 */
export async function runGroup({
  options,
  steps,
  timeoutSeconds,
}: GroupOptions): Promise<{ results: Map<string, StepResult>; guest: Outcome }> {
  const out = mkdtempSync(join(tmpdir(), 'flyd-vm-test-'));
  try {
    const guest = await runVm(
      ...options,
      ...['--timeout', String(timeoutSeconds), '--out', out, '--env', `NODE=${process.execPath}`],
      ...['--', 'bash', join(checkout, 'test/vm/run-steps.sh'), '/mnt/share', ...steps],
    );
    const results = new Map<string, StepResult>();
    for (const file of readdirSync(out).filter((name) => name.endsWith('.status'))) {
      const name = file.slice(0, -'.status'.length);
      const [code, seconds] = readFileSync(join(out, file), 'utf8').split(' ').map(Number);
      const output = readFileSync(join(out, `${name}.output`), 'utf8');
      results.set(name, { code: code ?? -1, seconds: seconds ?? 0, output });
    }
    return { results, guest };
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

/** How often a guest is booted before its verdict counts, whatever it is. */
const bootsMax = 4;

/**
 * Under emulation Node itself dies now and then (SIGSEGV inside V8, never seen outside of it; one processor
 * makes it rare): the runner then knows only that a file failed. That says nothing about the tests.
 */
const diedEmulated = ({ status, stdout }: { status: number | null; stdout: string }): boolean =>
  status !== 0 && (/^\s*'test failed'$/m.test(stdout) || /SIGSEGV|Segmentation fault/.test(stdout));

export interface GuestTests {
  /** Files of tests, from the checkout. They run one after the other: what is mapped is judged as a whole. */
  files: readonly string[];
  /** `NAME=value` for their environment. */
  variables?: readonly string[];
  /** All of them in one process, which then loads flyd once. */
  inOneProcess?: boolean;
  timeoutSeconds: number;
  /** Gets what the tests say of themselves by `t.diagnostic`. */
  tell?: (line: string) => void;
}

/** Runs test files in a guest; gives how many tests passed there. All must, and none may be skipped. */
export function testInGuest({
  files,
  variables = [],
  inOneProcess,
  timeoutSeconds,
  tell = () => {},
}: GuestTests): number {
  const environment = variables.flatMap((variable) => ['--env', variable]);
  const options = ['--cpus', '1', '--memory', '3G', '--timeout', String(timeoutSeconds), ...environment];
  const together = inOneProcess === true ? ['--test-isolation=none'] : ['--test-concurrency=1'];
  const command = [process.execPath, '--test', '--test-reporter=spec', ...together, ...files];
  const boot = () =>
    spawnSync(vm, [...options, '--', ...command], {
      cwd: checkout,
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    });
  let guest = boot();
  for (let tries = 1; tries < bootsMax && diedEmulated(guest); tries++) guest = boot();
  const said = guest.stdout + guest.stderr;
  assert.equal(guest.status, 0, said);
  assert.match(guest.stdout, /^ℹ skipped 0$/m, said);
  // The reporter's own sums come last.
  for (const [, line = ''] of guest.stdout.split(/^ℹ tests /m)[0]?.matchAll(/^ *ℹ (.*)$/gm) ?? []) tell(line);
  return Number(/^ℹ pass (\d+)$/m.exec(guest.stdout)?.[1] ?? 0);
}
