import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Sandbox, startFlyd } from '../crash/sandbox.ts';

const observer = fileURLToPath(new URL('./observe.js', import.meta.url));

/** Calls that make, change, look at and sync files; what threads do to wait for each other is left out. */
const fileCalls = [
  ...['open', 'openat', 'openat2', 'close', 'mkdir', 'mkdirat', 'mknodat', 'linkat', 'link', 'symlinkat'],
  ...['rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'rmdir', 'chmod', 'fchmod', 'fchmodat'],
  ...['chown', 'fchown', 'lchown', 'fchownat', 'utimensat', 'ftruncate', 'fallocate', 'lseek', 'stat'],
  ...['fstat', 'lstat', 'newfstatat', 'statx', 'getdents64', 'readlinkat', 'readlink', 'pwrite64', 'pwritev'],
  ...['copy_file_range', 'ioctl', 'setxattr', 'lsetxattr', 'fsetxattr', 'listxattr', 'llistxattr'],
  ...['flistxattr', 'getxattr', 'lgetxattr', 'fgetxattr'],
];
const syncCalls = ['fsync', 'fdatasync', 'syncfs', 'sync_file_range', 'sync'];

export interface Cost {
  /** Calls on files, and those that wait for the disk. */
  calls: number;
  syncs: number;
  /** By name, for the message of a test that fails. */
  byName: Record<string, number>;
  commits: number;
}

/** Counts what a command does in this sandbox, of itself and all that it starts; it has to succeed. */
export async function costOf(sandbox: Sandbox, args: readonly string[]): Promise<Cost> {
  const [summary, points] = [join(sandbox.folder, 'calls'), join(sandbox.folder, `points-${Date.now()}`)];
  const traced = `trace=${[...fileCalls, ...syncCalls].map((name) => `?${name}`).join(',')}`;
  const under = ['strace', '-f', '-c', '-qq', '--seccomp-bpf', '-o', summary, '-e', traced];
  const { code, stderr } = await startFlyd(sandbox, args, { under, fault: `record:${points}` }).ended;
  if (code !== 0) throw new Error(`flyd ${args.join(' ')} ended with ${code}: ${stderr}`);
  const byName = countsOf(readFileSync(summary, 'utf8'));
  const sum = (names: readonly string[]): number =>
    names.reduce((total, name) => total + (byName[name] ?? 0), 0);
  // A command that only looks passes no point.
  const passed = existsSync(points) ? readFileSync(points, 'utf8') : '';
  const commits = passed.match(/^commit:.*:after/gm)?.length ?? 0;
  return { calls: sum(fileCalls), syncs: sum(syncCalls), byName, commits };
}

/** The table of `strace -c`: share, seconds, microseconds a call, calls, errors if any, name. */
function countsOf(table: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [, calls, name] of table.matchAll(/^ +[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$/gm))
    if (name !== undefined && name !== 'total') counts[name] = Number(calls);
  return counts;
}

export interface Observed {
  /** URLs of modules, in the order in which they were loaded. */
  loaded: string[];
  /** Node's own modules among what was asked for. */
  own: string[];
  bytesWritten: number;
}

/** What a command has loaded and written itself; it has to succeed. */
export async function observed(sandbox: Sandbox, args: readonly string[]): Promise<Observed> {
  const file = join(sandbox.folder, 'observed.json');
  const env = { NODE_OPTIONS: `--import ${observer}`, OBSERVED_TO: file };
  const { code, stderr } = await startFlyd(sandbox, args, { env }).ended;
  if (code !== 0) throw new Error(`flyd ${args.join(' ')} ended with ${code}: ${stderr}`);
  return JSON.parse(readFileSync(file, 'utf8')) as Observed;
}
