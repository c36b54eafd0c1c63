import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { pinned } from './cores.ts';

/** What one command took. */
export interface Taken {
  seconds: number;
  /** Of the command and what it started, user and system. */
  cpuSeconds: number;
  /** The largest resident set of one process among them. */
  peakMiB: number;
}

const figures = '%e %U %S %M';

export interface Settings {
  env?: Readonly<Record<string, string>>;
  /** A list of processors for taskset(1); null: all. */
  cores?: string | null;
}

/** Runs a shell command line and measures it by GNU time; throws with its words when it fails. */
export function timed(command: string, { env = {}, cores = null }: Settings = {}): Taken {
  const [time = '', ...args] = pinned(cores, '/usr/bin/time', '-f', figures, 'bash', '-ec', command);
  const { status, stderr } = spawnSync(time, args, {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
    maxBuffer: 1024 ** 3,
  });
  const lines = stderr.trim().split('\n');
  if (status !== 0) throw new Error(`${command}\n${lines.slice(-5).join('\n')}`);
  const [seconds = 0, user = 0, system = 0, peakKiB = 0] = (lines.at(-1) ?? '').split(' ').map(Number);
  return { seconds, cpuSeconds: user + system, peakMiB: peakKiB / 1024 };
}

/**
 * What is in the page cache would be read for nothing: writes back, then drops it. What is below `kept` is read
 * again: who serves or pulls images on a host has done so before. Needs root.
 */
export function dropCaches(kept: readonly string[] = []): void {
  execFileSync('sync');
  writeFileSync('/proc/sys/vm/drop_caches', '3');
  if (kept.length > 0)
    execFileSync('find', ['-L', ...kept, '-type', 'f', '-exec', 'cat', '{}', '+'], {
      stdio: ['ignore', 'ignore', 'ignore'],
    });
}

/** The first line that a server prints, once it prints one; `stop` ends it. */
export async function serve(
  command: string,
  args: readonly string[],
): Promise<{ line: string; stop: () => Promise<void> }> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  const line = await new Promise<string>((done, fail) => {
    let text = '';
    child.stdout.on('data', (data: Buffer) => {
      text += data.toString();
      if (text.includes('\n')) done(text.slice(0, text.indexOf('\n')));
    });
    child.once('exit', (code) => fail(new Error(`${command} ended with ${code}`)));
  });
  return {
    line,
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** The first version number in what a command says of itself; null when it is not there. */
export function versionOf(command: string, ...args: string[]): string | null {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  return status === 0 ? (/\d+(\.\d+)+/.exec(`${stdout}${stderr}`)?.[0] ?? 'unknown') : null;
}
