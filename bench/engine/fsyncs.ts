import { existsSync, readFileSync } from 'node:fs';
import type { Watching } from './servers.ts';

const calls = 'fsync,fdatasync,sync_file_range,msync,syncfs';

export const hasStrace = (): boolean => existsSync('/usr/bin/strace');

/** What to put before a command so that its calls that reach for the disk are written down, and no others stopped. */
export const watchingFsyncs = (log: string): Watching => [
  '/usr/bin/strace',
  // As a grandchild: the command stays ours, to be signalled and waited for.
  ...['-D', '-f', '--seccomp-bpf', '-qq', '-ttt', '-e', `trace=${calls}`, '-e', 'signal=none', '-o', log],
];

/** How many there were from one moment to another; milliseconds since the epoch. */
export function fsyncsWithin(log: string, from: number, to: number): number {
  const begun = new RegExp(`^\\d+ +(\\d+\\.\\d+) (?:${calls.replaceAll(',', '|')})\\(`, 'gm');
  return [...readFileSync(log, 'utf8').matchAll(begun)].filter(([, at]) => {
    const ms = Number(at) * 1000;
    return ms >= from && ms <= to;
  }).length;
}
