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
