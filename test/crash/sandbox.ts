import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type S3LogEntry, startS3Server } from '#infra/s3-server';
import type { Family } from './family.ts';

const cleanup = fileURLToPath(new URL('../../scripts/cleanup', import.meta.url));
const flyd = fileURLToPath(new URL('../../bin/flyd.js', import.meta.url));

/** A state directory, a mount root and a server of their own, so that many can be at work side by side. */
export interface Sandbox {
  folder: string;
  state: string;
  mountRoot: string;
  family: Family;
  driver: string;
  /** Requests as they came in: method and path. */
  asked: { method: string; path: string }[];
  /** The same requests as they were over. */
  answered: S3LogEntry[];
  /** Flags that `flyd pull` wants here, after the family. */
  pullArgs: string[];
  /** Unmounts and removes everything. */
  close(): Promise<void>;
}

/** A fresh folder for one test's sandboxes; whatever is mounted below it goes first when the test ends. */
export function labFolder(t: TestContext): string {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'flyd-crash-'));
  t.after(() => removeWithMounts(folder));
  return folder;
}

let count = 0;

export async function openSandbox(lab: string, family: Family, driver: string): Promise<Sandbox> {
  const folder = join(lab, `s${++count}`);
  const state = join(folder, 'state');
  const mountRoot = join(folder, 'mnt');
  mkdirSync(folder, { mode: 0o700 });
  mkdirSync(mountRoot, { mode: 0o700 });
  const asked: Sandbox['asked'] = [];
  const answered: S3LogEntry[] = [];
  const server = await startS3Server({
    dir: family.served,
    log: (entry) => void answered.push(entry),
    intercept: ({ method = '', url = '' }) => {
      asked.push({ method, path: decodeURIComponent(url.split('?')[0] ?? '') });
      return false;
    },
  });
  const pullArgs = [
    '--source',
    family.source,
    '--endpoint',
    server.endpoint,
    '--anonymous',
    '--driver',
    driver,
  ];
  const close = async (): Promise<void> => {
    await server.close();
    if (driver === 'devmapper')
      spawnSync(cleanup, ['--state-dir', state, '--mount-root', mountRoot, '--yes'], { stdio: 'ignore' });
    removeWithMounts(folder);
  };
  return { folder, state, mountRoot, family, driver, asked, answered, pullArgs, close };
}

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface Running {
  pid: number;
  /** Resolves when the process is gone and its output is whole. */
  ended: Promise<Ended>;
  kill(signal: NodeJS.Signals): void;
}

export interface FlydOptions {
  /** Value of `FLYD_FAULT`. */
  fault?: string | undefined;
  env?: Record<string, string>;
  /** A command that runs flyd, such as strace with its flags. */
  under?: readonly string[];
}

/** A hung flyd is killed after so long, and then fails its test by its signal. Devmapper means an emulated guest. */
export const patienceMs = (driver: string): number => (driver === 'devmapper' ? 600_000 : 120_000);

/** On loop files, and small enough for a guest whose disk is memory. */
const smallPool = { FLYD_POOL_SIZE: '256M', FLYD_VOLUME_SIZE: '32M', DM_DISABLE_UDEV: '1' };

/** What flyd is told of this sandbox by its environment. */
export const environmentOf = ({ folder, mountRoot, driver }: Sandbox): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  HOME: folder,
  // Hundreds of processes and thousands of worker threads: each would strip the types anew.
  NODE_COMPILE_CACHE: join(dirname(folder), 'compile-cache'),
  FLYD_MOUNT_ROOT: mountRoot,
  ...(driver === 'devmapper' ? smallPool : {}),
});

/** Starts the real command with this sandbox's state. */
export function startFlyd(sandbox: Sandbox, args: readonly string[], options: FlydOptions = {}): Running {
  const { fault, env = {}, under = [] } = options;
  const stateFlags = ['--state-dir', sandbox.state];
  const [command = '', ...rest] = [...under, process.execPath, flyd, ...args, ...stateFlags];
  const child = spawn(command, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: sandbox.folder,
    env: { ...environmentOf(sandbox), ...(fault === undefined ? {} : { FLYD_FAULT: fault }), ...env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs(sandbox.driver));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr });
    });
  });
  return { pid: child.pid ?? 0, ended, kill: (signal) => void child.kill(signal) };
}

/** Runs a command of flyd to its end. */
export const runFlyd = (sandbox: Sandbox, args: readonly string[], options?: FlydOptions): Promise<Ended> =>
  startFlyd(sandbox, args, options).ended;

/** Starts `flyd pull` of the sandbox's family. */
export const startPull = (sandbox: Sandbox, options?: FlydOptions, more: readonly string[] = []): Running =>
  startFlyd(sandbox, ['pull', sandbox.family.name, ...sandbox.pullArgs, '--json', ...more], options);

/** Runs `flyd pull` of the sandbox's family to its end. */
export const runPull = (
  sandbox: Sandbox,
  options?: FlydOptions,
  more: readonly string[] = [],
): Promise<Ended> => startPull(sandbox, options, more).ended;

/** The one JSON document of a command that must have succeeded. */
export function documentOf<Document>({ code, signal, stdout, stderr }: Ended): Document {
  if (code !== 0) throw new Error(`flyd ended with ${signal ?? code}\n${stdout}\n${stderr}`);
  return JSON.parse(stdout) as Document;
}

/** The state letter of a process (proc_pid_stat(5)), or null when it is gone: `T` is stopped. */
export function processState(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat[stat.lastIndexOf(')') + 2] ?? null;
  } catch {
    return null;
  }
}

/** Waits until `ready` gives something but null; fails with `what` after so many milliseconds. */
export async function until<T>(what: string, ready: () => T | null, withinMs = 60_000): Promise<T> {
  for (const deadline = performance.now() + withinMs; ; ) {
    const found = ready();
    if (found !== null) return found;
    if (performance.now() > deadline) throw new Error(`never happened: ${what}`);
    await new Promise((go) => setTimeout(go, 5));
  }
}

/** Runs `work` over all items, so many at once. */
export async function each<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  // All of them are waited for, also when one throws: none may go on in a folder that is being removed.
  for (const end of await Promise.allSettled(Array.from({ length: atOnce }, worker)))
    if (end.status === 'rejected') throw end.reason;
}

function removeWithMounts(folder: string): void {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${folder}/`));
  for (const point of points.reverse()) spawnSync('umount', [point]);
  for (const loop of readdirSync('/sys/block').filter((name) => name.startsWith('loop'))) {
    const file = `/sys/block/${loop}/loop/backing_file`;
    if (existsSync(file) && readFileSync(file, 'utf8').startsWith(`${folder}/`))
      spawnSync('losetup', ['-d', `/dev/${loop}`]);
  }
  rmSync(folder, { recursive: true, force: true });
}
