import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startS3Server } from '#infra/s3-server';
import { type Layer, writeLayer } from '../../scripts/families/layer.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface Running {
  child: ChildProcess;
  ended: Promise<Ended>;
  /** Waits until its stderr has this. */
  says(pattern: RegExp): Promise<void>;
}

/** A place of its own for one test: folders, an S3 server that can be told to hold back, the real command. */
export interface Scene {
  folder: string;
  stateDir: string;
  mountRoot: string;
  endpoint: string;
  /** Requests for objects whose path has this get no answer until `release`. */
  hold(part: string): void;
  release(): void;
  /** Objects that were asked for, with GET. */
  readonly asked: string[];
  put(key: string, content: string | Buffer): void;
  putLayers(family: string, layers: readonly Layer[]): Promise<void>;
  run(args: readonly string[], environment?: Record<string, string>): Running;
  /** Runs the command to its end. */
  flyd(args: readonly string[], environment?: Record<string, string>): Promise<Ended>;
  /** Starts it without the folders of this scene. */
  start(args: readonly string[], environment?: Record<string, string>): Running;
  /** Runs it so to its end. */
  bare(args: readonly string[]): Promise<Ended>;
  /** Runs it with `--json`, and gives the one document. */
  json<T>(args: readonly string[], expectedCode?: number): Promise<T>;
  pullArgs(family: string, ...more: string[]): string[];
  close(): Promise<void>;
}

/** Two small layers: the upper removes a file of the lower. */
export const smallFamily: readonly Layer[] = [
  {
    name: '0.tar.gz',
    entries: [
      { type: 'folder', path: 'etc' },
      { type: 'file', path: 'etc/motd', content: 'hello\n' },
      { type: 'file', path: 'etc/old', content: 'old\n' },
    ],
  },
  {
    name: '1.tar.zst',
    entries: [
      { type: 'whiteout', path: 'etc/old' },
      { type: 'file', path: 'etc/new', content: 'new\n' },
    ],
  },
];

export async function openScene(): Promise<Scene> {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'flyd-cli-'));
  const bucket = join(folder, 'buckets/images');
  const stateDir = join(folder, 'state');
  const mountRoot = join(folder, 'mnt');
  mkdirSync(bucket, { recursive: true });
  const asked: string[] = [];
  const running = new Set<Running>();
  let held: string | null = null;
  let waiting: (() => void)[] = [];
  const server = await startS3Server({
    dir: join(folder, 'buckets'),
    async intercept(request) {
      const path = decodeURIComponent((request.url ?? '').split('?')[0] ?? '');
      const isObject = /^\/images\/./.test(path);
      if (isObject && request.method === 'GET') asked.push(path);
      if (isObject && held !== null && path.includes(held))
        await new Promise<void>((give) => waiting.push(give));
      return false;
    },
  });

  const scene: Scene = {
    folder,
    stateDir,
    mountRoot,
    endpoint: server.endpoint,
    asked,
    hold: (part) => {
      held = part;
    },
    release() {
      held = null;
      for (const give of waiting) give();
      waiting = [];
    },
    put(key, content) {
      const path = join(bucket, key);
      mkdirSync(join(path, '..'), { recursive: true });
      writeFileSync(path, content);
    },
    async putLayers(family, layers) {
      mkdirSync(join(bucket, family), { recursive: true });
      for (const layer of layers) await writeLayer(join(bucket, family, layer.name), layer);
    },
    start(args, environment = {}) {
      const started = start(args, environment);
      running.add(started);
      void started.ended.then(() => running.delete(started));
      return started;
    },
    run: (args, environment) =>
      scene.start([...args, '--state-dir', stateDir, '--mount-root', mountRoot], environment),
    flyd: (args, environment) => scene.run(args, environment).ended,
    bare: (args) => scene.start(args).ended,
    async json<T>(args: readonly string[], expectedCode = 0): Promise<T> {
      const { code, stdout, stderr } = await scene.flyd([...args, '--json']);
      assert.equal(code, expectedCode, `${stdout}\n${stderr}`);
      return JSON.parse(stdout) as T;
    },
    pullArgs: (family, ...more) => [
      ...['pull', family, '--source', 's3://images', '--endpoint', server.endpoint, '--anonymous'],
      ...['--driver', 'copy', ...more],
    ],
    async close() {
      scene.release();
      for (const { child, ended } of [...running]) {
        child.kill('SIGKILL');
        await ended;
      }
      try {
        await takeDown(scene);
      } finally {
        await server.close();
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return scene;
}

/** Tests beside this one may keep their mount namespaces for long on a busy machine. */
const takeDownMsMax = 120_000;

/** What is mounted would keep the folder from being removed. */
async function takeDown(scene: Scene): Promise<void> {
  const mounted = readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${scene.folder}/`);
  if (!mounted) return;
  for (const { id } of await scene.json<{ id: string }[]>(['activations'])) {
    // A test beside this one may have entered a mount namespace of its own, which holds a copy of this mount.
    for (const since = performance.now(); ; ) {
      const { code, stdout, stderr } = await scene.flyd(['deactivate', id]);
      if (code === 0) break;
      const mayGo = performance.now() - since < takeDownMsMax && stderr.includes('activation_busy');
      assert.ok(mayGo, `deactivate: ${stdout}${stderr}`);
    }
  }
}

function start(args: readonly string[], environment: Record<string, string>): Running {
  // Nothing of the machine's own settings, and quick retries.
  const env = { PATH: process.env.PATH ?? '', HOME: '/nonexistent', ...quick, ...environment };
  const child = spawn(process.execPath, [join(root, 'bin/flyd.js'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
  });
  let stdout = '';
  let stderr = '';
  const hearers = new Set<() => void>();
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString();
  });
  child.stderr.on('data', (data: Buffer) => {
    stderr += data.toString();
    for (const hear of hearers) hear();
  });
  const ended = new Promise<Ended>((give, fail) => {
    child.on('error', fail);
    child.on('close', (code, signal) => {
      for (const hear of hearers) hear();
      give({ code, signal, stdout, stderr });
    });
  });
  return {
    child,
    ended,
    says: (pattern) =>
      new Promise((give, fail) => {
        const hear = (): void => {
          if (pattern.test(stderr)) {
            hearers.delete(hear);
            give();
          } else if (child.exitCode !== null) fail(new Error(`it ended without ${pattern}: ${stderr}`));
        };
        hearers.add(hear);
        hear();
      }),
  };
}

const quick = { FLYD_RETRY: 'pauseMs=20,pauseMsMax=100,pendingPauseMs=50,pendingPauseMsMax=100' };
