import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { startS3Server } from '#infra/s3-server';
import { type PoolStatus, parsePoolStatus, parseTargetLine } from '#infra/volumes/dm-status';
import { type Layer, writeLayer } from '../../../scripts/families/layer.ts';
import { type Answer, type CommandName, flyd } from '../../support/flyd-here.ts';
import { type LowDevice, makeLowDevice, tool } from './low-device.ts';

/** A state directory with a thin pool on two devices of its own, and a bucket to pull from. */
export interface PoolHost {
  folder: string;
  stateDir: string;
  mountRoot: string;
  data: LowDevice;
  meta: LowDevice;
  flyd(name: CommandName, ...args: string[]): Promise<Answer>;
  /** The arguments of such a command, for a process of its own. */
  argsOf(name: CommandName, ...args: string[]): string[];
  /** Runs it, and gives the document; fails unless the exit code is this. */
  get<T>(code: number, name: CommandName, ...args: string[]): Promise<T>;
  pull(family: string, ...more: string[]): Promise<Answer>;
  /** The pool's device-mapper name. */
  pool(): string;
  status(): PoolStatus;
  put(family: string, layers: readonly Layer[]): Promise<void>;
}

export interface PoolHostOptions {
  dataMiB?: number;
  metaMiB?: number;
  /** Somebody else has made the pool, under this name, and its writers wait when it is full. */
  adopt?: string;
  /** More of the configuration: flags of every command that works with the pool. */
  flags?: readonly string[];
  /** Where the state directory is to be; a folder of its own by default. */
  stateDir?: string;
}

export interface Failed {
  error: { code: string; kind: string; message: string; hint: string | null };
}

/** Commands that take the flags of work. */
const working: readonly CommandName[] = ['activate', 'deactivate', 'doctor', 'gc', 'pull', 'resume', 'rm'];

let count = 0;

/** Makes one; everything of it is taken down after the test, passed or failed. */
export async function openPoolHost(t: TestContext, options: PoolHostOptions = {}): Promise<PoolHost> {
  const { dataMiB = 128, metaMiB = 8, flags = [] } = options;
  const folder = mkdtempSync('/tmp/flyd-days-');
  const stateDir = options.stateDir ?? join(folder, 'state');
  const mountRoot = join(folder, 'mnt');
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const bucket = join(folder, 'served/bucket');
  mkdirSync(bucket, { recursive: true });
  const server = await startS3Server({ dir: join(folder, 'served') });
  count += 1;
  const data = makeLowDevice(`low-data-${count}`, join(folder, 'low-data'), dataMiB);
  const meta = makeLowDevice(`low-meta-${count}`, join(folder, 'low-meta'), metaMiB);
  const everywhere = ['--state-dir', stateDir, '--mount-root', mountRoot];
  const sizes = ['--volume-size', '64M', ...flags];
  const from = ['--source', 's3://bucket/', '--endpoint', server.endpoint, '--anonymous'];
  const { adopt } = options;
  if (adopt !== undefined) makeQueueingPool(adopt, data.path, meta.path, dataMiB);
  const own = ['--pool-data', data.path, '--pool-meta', meta.path];
  const pools = ['--driver', 'devmapper', ...(adopt === undefined ? own : ['--pool', adopt])];
  t.after(async () => {
    await server.close();
    data.mend();
    meta.mend();
    takeDown(folder, stateDir);
    if (adopt !== undefined) tool('dmsetup', 'remove', '--retry', adopt);
    data.remove();
    meta.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const host: PoolHost = {
    folder,
    stateDir,
    mountRoot,
    data,
    meta,
    flyd: (name, ...args) => flyd(name, host.argsOf(name, ...args).slice(1)),
    argsOf: (name, ...args) => [name, ...args, ...everywhere, ...(working.includes(name) ? sizes : [])],
    async get<T>(code: number, name: CommandName, ...args: string[]): Promise<T> {
      const answer = await host.flyd(name, ...args);
      assert.equal(answer.code, code, `${name} ${args.join(' ')}: ${told(answer)}`);
      return answer.document as T;
    },
    pull: (family, ...more) => host.flyd('pull', family, ...from, ...pools, ...more),
    pool: () =>
      (JSON.parse(readFileSync(join(stateDir, 'pool/pool.json'), 'utf8')) as { dmName: string }).dmName,
    status() {
      const line = parseTargetLine(tool('dmsetup', 'status', '--noflush', host.pool()));
      const status = parsePoolStatus(line?.args ?? []);
      assert.ok(status);
      return status;
    },
    async put(family, layers) {
      mkdirSync(join(bucket, family), { recursive: true });
      for (const layer of layers) await writeLayer(join(bucket, family, layer.name), layer);
    },
  };
  await host.put('small', [layerOf('0.tar.gz', { motd: 'hello\n' }), layerOf('1.tar.gz', { own: 'own\n' })]);
  return host;
}

export interface Examined {
  checks: { check: string; verdict: string; says: string; fix: string | null }[];
}
export interface Mended {
  ok: boolean;
  done: string[];
  failed: { what: string; error: { code: string; hint: string | null } }[];
  restored: { restored: string[] } | null;
}
export interface Activated {
  output: { id: string; path: string; rootfs: string; device: string };
}

/** That `flyd doctor` finds this to be broken, for people and for scripts, with something to do about it. */
export async function assertFound(host: PoolHost, check: string, words: RegExp): Promise<void> {
  const answer = await host.flyd('doctor');
  const { checks } = answer.document as Examined;
  const found = checks.find((each) => each.check === check && words.test(each.says));
  assert.ok(found, `nothing like ${check} ${words}: ${told(answer)}`);
  assert.ok(found.fix !== null, JSON.stringify(found));
  assert.equal(
    answer.code === 1,
    checks.some(({ verdict }) => verdict === 'broken'),
    told(answer),
  );
  const line = answer.lines.find((each) => each.includes(found.says));
  assert.match(line ?? '', new RegExp(`^${found.verdict} +${check} `));
}

/** That database and world agree, and nothing is left over. */
export async function assertAgreed(host: PoolHost): Promise<void> {
  const verdict = await host.get<{ leftovers: unknown[] }>(0, 'doctor', '--verify');
  assert.deepEqual(verdict.leftovers, []);
}

/** That a command failed with one error of this code, with a hint that says what to do. */
export function assertFailed(answer: Answer, code: string, hint: RegExp): void {
  assert.equal(answer.code, 1, told(answer));
  const { error } = answer.document as Failed;
  assert.equal(error.code, code, told(answer));
  assert.match(error.hint ?? '', hint, told(answer));
}

/** All that a command said, for a failing test. */
export const told = ({ code, document, lines }: Answer): string =>
  `${code}\n${lines.join('\n')}\n${JSON.stringify(document, null, 1)}`;

/** A layer of files by their names. */
export const layerOf = (name: string, files: Record<string, string>): Layer => ({
  name,
  entries: Object.entries(files).map(([path, content]) => ({ type: 'file', path, content })),
});

/** Without features: a pool that is full lets its writers wait (thin-provisioning.rst). */
function makeQueueingPool(name: string, data: string, meta: string, mebibytes: number): void {
  tool('dmsetup', 'create', name, '--table', `0 ${mebibytes * 2048} thin-pool ${meta} ${data} 128 0`);
}

/** Unmounts and unmaps what stands on the pool, and the pool. */
function takeDown(folder: string, stateDir: string): void {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${folder}/`) && point !== stateDir);
  for (const point of points.reverse()) tool('umount', '--lazy', point);
  for (let round = 0; round < 3; round += 1)
    for (const name of mapped()) tool('sh', '-c', `dmsetup remove --retry '${name}' || true`);
}

/** Devices of flyd that are mapped. */
export const mapped = (): string[] =>
  tool('dmsetup', 'ls')
    .split('\n')
    .map((line) => line.split(/\s/)[0] ?? '')
    .filter((name) => name.startsWith('flyd-'));
