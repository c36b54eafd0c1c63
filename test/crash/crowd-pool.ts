import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { poolOf, rows } from './judge.ts';
import type { Sandbox } from './sandbox.ts';

/** A row that has a thin device. */
export interface ThinRow {
  id: string;
  device: number;
  state: string;
  /** Where an activation is mounted; null for a volume. */
  path: string | null;
}

/** What the kernel and the tools of the system say of a pool: no code of flyd's. */
export interface PoolView {
  /** Ids of what is mapped, with their `major:minor`: dmsetup. */
  mapped: Readonly<Record<string, string>>;
  /** Device ids in the pool's metadata: thin_dump. */
  thin: readonly number[];
  /** Files of the pool, one for each loop device over them: losetup. */
  loops: readonly string[];
  /** `major:minor` of what is mounted, by mount point: mountinfo. */
  mounts: Readonly<Record<string, string>>;
}

/**
 * What is wrong with a pool while everybody works. Rows come before devices and go after them; so what the
 * database says before and after the look must be there, and what neither knows must not.
 */
export function judgePoolView(
  before: readonly ThinRow[],
  { mapped, thin, loops, mounts }: PoolView,
  after: readonly ThinRow[],
): string[] {
  const steady = before.filter(({ id, state }) =>
    after.some((row) => row.id === id && row.state === state && ['sealed', 'active'].includes(state)),
  );
  const active = steady.filter(({ state }) => state === 'active');
  const known = [...before, ...after];
  const files = loops.map((file) => file.slice(file.lastIndexOf('/') + 1)).sort();
  return [
    ...steady.filter(({ device }) => !thin.includes(device)).map(({ id }) => `the pool has not ${id}`),
    ...active.filter(({ id }) => mapped[id] === undefined).map(({ id }) => `${id} is not mapped`),
    ...active
      .filter(({ id, path }) => path !== null && mapped[id] !== undefined && mounts[path] !== mapped[id])
      .map(({ id, path }) => `${id} is ${mapped[id]}, and ${mounts[path ?? '']} is mounted for it`),
    ...Object.keys(mapped)
      .filter((id) => !known.some((row) => row.id === id))
      .map((id) => `nobody knows mapped ${id}`),
    ...thin
      .filter((device) => !known.some((row) => row.device === device))
      .map((device) => `nobody knows device ${device}`),
    ...(files.join() === 'data,meta' ? [] : [`loop devices over ${files.join(' and ') || 'nothing'}`]),
  ];
}

/** Looks at the pool of a sandbox from outside; empty when nothing is wrong, or there is no pool yet. */
export async function samplePool(sandbox: Sandbox): Promise<string[]> {
  const pool = poolOf(sandbox);
  if (pool === null || !existsSync(`/dev/mapper/${pool.dmName}`)) return [];
  const before = thinRows(sandbox);
  const prefix = `${pool.dmName}-`;
  const fields = ['-o', 'name,major,minor', '--separator', ' '];
  const devices = lines(await tool('dmsetup', 'info', '-c', '--noheadings', ...fields)).map((line) => {
    const [name = '', major, minor] = line.split(' ');
    return [name, `${major}:${minor}`] as const;
  });
  const mounts = Object.fromEntries(
    lines(readFileSync('/proc/self/mountinfo', 'utf8')).map((line) => {
      const [, , dev = '', , point = ''] = line.split(' ');
      return [point, dev];
    }),
  );
  const view: PoolView = {
    mapped: Object.fromEntries(
      devices.flatMap(([name, dev]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), dev]] : [])),
    ),
    thin: await thinIds(sandbox, pool.dmName),
    loops: lines(await tool('losetup', '--list', '--noheadings', '-O', 'BACK-FILE')).filter((file) =>
      file.startsWith(`${sandbox.state}/pool/`),
    ),
    mounts,
  };
  return judgePoolView(before, view, thinRows(sandbox));
}

/** Activations that a run takes down may be unmapped already: they count as known, and as nothing more. */
function thinRows(sandbox: Sandbox): ThinRow[] {
  const leaving = rows<{ id: string }>(
    sandbox,
    "SELECT key AS id FROM runs WHERE machine = 'deactivate' AND ended_at IS NULL",
  );
  const isLeaving = new Set(leaving.map(({ id }) => id));
  const volumes = 'SELECT id, device, state, NULL AS path FROM volumes';
  const both = `${volumes} UNION ALL SELECT id, device, state, path FROM activations`;
  return rows<ThinRow>(sandbox, both).map((row) =>
    isLeaving.has(row.id) ? { ...row, state: 'leaving' } : row,
  );
}

/** There is one metadata snapshot for all: whoever takes it holds the lock of the pool's folder meanwhile. */
async function thinIds({ state }: Sandbox, pool: string): Promise<number[]> {
  // What is reserved already was left by somebody who was killed.
  const script = `
    dmsetup message "$1" 0 reserve_metadata_snap 2>/dev/null || {
      dmsetup message "$1" 0 release_metadata_snap
      dmsetup message "$1" 0 reserve_metadata_snap
    }
    numbers=$(dmsetup table "$1" | awk '{ print $4 }')
    node=$(mktemp -u /tmp/crowd.XXXXXX)
    mknod -m 600 "$node" b "\${numbers%:*}" "\${numbers#*:}"
    thin_dump --skip-mappings -m "$node"
    rm -f "$node"
    dmsetup message "$1" 0 release_metadata_snap`;
  const dump = await tool('flock', join(state, 'pool/lock'), 'sh', '-euc', script, 'sh', pool);
  return [...dump.matchAll(/<device dev_id="(\d+)"/g)].map(([, id]) => Number(id));
}

const run = promisify(execFile);
const tool = async (command: string, ...args: string[]): Promise<string> =>
  (await run(command, args, { env: { ...process.env, LC_ALL: 'C', DM_DISABLE_UDEV: '1' } })).stdout;
const lines = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
