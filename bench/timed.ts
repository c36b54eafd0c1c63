import { spawnSync } from 'node:child_process';

/** What one run of a command took. Milliseconds; CPU is user and system time of it and all that it waited for. */
export interface Timed {
  wallMs: number;
  cpuMs: number;
}

/** Runs a command to its end, its output thrown away. Throws when it fails. */
export function timed(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Timed {
  // bash, because Node does not tell what a child has used.
  const script = 'TIMEFORMAT="%R %U %S"; exec 3>&2; { time "$@" >/dev/null 2>&3; } 2>&1';
  const shell = ['-c', script, 'bash', command, ...args];
  const { status, stdout, stderr } = spawnSync('bash', shell, {
    encoding: 'utf8',
    env: { ...env, LC_ALL: 'C' },
  });
  if (status !== 0)
    throw new Error(`${command} ${args.join(' ')} ended with ${status}: ${stdout}${stderr.slice(-1_000)}`);
  const [wall = 0, user = 0, system = 0] = (stdout.trim().split('\n').at(-1) ?? '').split(' ').map(Number);
  return { wallMs: wall * 1000, cpuMs: (user + system) * 1000 };
}

/** The middle one of the values; at least one. */
export const medianOf = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
