import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { askOracle } from '../support/oracle.ts';
import { diffRootfs, type Rootfs, readRootfs } from '../support/rootfs.ts';
import { documentOf, type Ended, type Sandbox, until } from './sandbox.ts';

/** What `flyd pull --json` says, as far as the tests look at it. */
export interface PullDocument {
  run: string;
  status: string;
  image: {
    id: string;
    chain: string;
    endpoint: string | null;
    layers: { key: string; digest: string; reused: boolean }[];
  };
  base: { id: string; driver: string; reused: boolean };
  activation: { id: string; path: string | null; rootfs: string };
}

/** What an undisturbed pull gives. */
export interface Reference {
  document: unknown;
  rootfs: Rootfs;
}

/** The document without what differs from run to run: ids, times, places, and what was there already. */
export function essence(document: PullDocument): unknown {
  const text = JSON.stringify(document, (key, value: unknown) =>
    [
      'run',
      'id',
      'path',
      'rootfs',
      'endpoint',
      'reused',
      'bytes',
      'seconds',
      'warnings',
      'nearlyFull',
    ].includes(key)
      ? undefined
      : value,
  );
  return JSON.parse(text);
}

export function referenceOf(ended: Ended): Reference {
  const document = documentOf<PullDocument>(ended);
  return { document: essence(document), rootfs: readRootfs(document.activation.rootfs) };
}

/** Where flyd keeps its state and mounts what it makes. */
type Place = Pick<Sandbox, 'state' | 'mountRoot' | 'driver'>;

/** Rows of a query of the sandbox's database, read by another process than flyd. */
export function rows<Row>(sandbox: Pick<Place, 'state'>, sql: string): Row[] {
  const db = new Database(join(sandbox.state, 'flyd.db'), { readonly: true });
  try {
    return db.prepare(sql).all() as Row[];
  } finally {
    db.close();
  }
}

/** What the database says should be on the host, as the oracle's lines. */
export function expectedThings(sandbox: Place): string[] {
  const blobs = rows<{ digest: string }>(sandbox, "SELECT digest FROM blobs WHERE state = 'whole'");
  const volumes = rows<Thing>(sandbox, "SELECT driver, id, device FROM volumes WHERE state = 'sealed'");
  const activations = rows<Thing & { path: string | null }>(
    sandbox,
    "SELECT driver, id, device, path FROM activations WHERE state = 'active'",
  );
  // On a file of its own, unless the state directory is on a btrfs (statfs(2): its magic number).
  const onBtrfs = statfsSync(sandbox.state).type === 0x9123683e;
  const btrfs = sandbox.driver === 'btrfs' && volumes.length > 0 && !onBtrfs;
  const suffix = sandbox.driver === 'devmapper' ? '.json' : '';
  return [
    ...(btrfs ? [`mount ${sandbox.state}/volumes/btrfs`, `loop ${sandbox.state}/pool/btrfs`] : []),
    ...(sandbox.driver === 'devmapper' ? expectedDevices(sandbox, volumes, activations) : []),
    ...blobs.map(({ digest }) => `blob ${digest.replace('sha256:', '')}`),
    ...[...volumes, ...activations].map(({ driver, id }) => `volume ${driver}/${id}${suffix}`),
    ...activations.flatMap(({ path }) => (path === null ? [] : [`mount ${path}`, `point ${path}`])),
  ];
}

interface Thing {
  driver: string;
  id: string;
  device: number | null;
}

/** The pool as its record has it, or null when none was made. */
export function poolOf({
  state,
}: Pick<Place, 'state'>): { name: string; dmName: string; kind: string } | null {
  const path = join(state, 'pool/pool.json');
  if (!existsSync(path)) return null;
  return JSON.parse(readFileSync(path, 'utf8')) as { name: string; dmName: string; kind: string };
}

const isMapped = (name: string): boolean => spawnSync('dmsetup', ['info', name]).status === 0;

function expectedDevices(sandbox: Place, volumes: readonly Thing[], activations: readonly Thing[]): string[] {
  const pool = poolOf(sandbox);
  if (pool === null) return [];
  const { state } = sandbox;
  // Nothing may want the pool yet, or any more: then it need not be mapped.
  const up = activations.length > 0 || isMapped(pool.dmName);
  const loops = pool.kind === 'loop' && up ? [`loop ${state}/pool/data`, `loop ${state}/pool/meta`] : [];
  return [
    ...(existsSync(join(state, 'volumes/devmapper/mnt')) ? ['volume devmapper/mnt'] : []),
    ...(up ? [`dm ${pool.dmName}`, ...loops] : []),
    ...activations.map(({ id }) => `dm flyd-${pool.name}-${id}`),
    ...[...volumes, ...activations].map(({ device }) => `thin ${device}`),
  ];
}

/** What the oracle is to look at besides files and mounts. */
function oracleOptions(sandbox: Place): string[] {
  if (sandbox.driver !== 'devmapper') return [];
  const pool = poolOf(sandbox);
  return ['--devices', ...(pool !== null && isMapped(pool.dmName) ? ['--thin-pool', pool.dmName] : [])];
}

/** What the outside script finds wrong with what the database says is there. */
export const strangeThings = (sandbox: Place): string[] =>
  askOracle({
    state: sandbox.state,
    mountRoot: sandbox.mountRoot,
    expected: expectedThings(sandbox),
    options: oracleOptions(sandbox),
  });

/** Tables where nothing may be left under way, and what would be. */
const unfinished: readonly [string, string][] = [
  ['blobs', "SELECT digest AS what FROM blobs WHERE state <> 'whole'"],
  ['volumes', "SELECT id || ' ' || state AS what FROM volumes WHERE state <> 'sealed'"],
  ['images', "SELECT id || ' ' || state AS what FROM images WHERE state <> 'complete'"],
  ['activations', "SELECT id || ' ' || state AS what FROM activations WHERE state <> 'active'"],
  ['leases', 'SELECT resource AS what FROM leases'],
  ['runs', "SELECT machine || ' ' || status || ' ' || state AS what FROM runs WHERE ended_at IS NULL"],
  ['effects', 'SELECT src AS what FROM effects'],
  ['timers', 'SELECT timer AS what FROM timers'],
];

/** What the database says is still under way. */
export const unfinishedWork = (sandbox: Pick<Place, 'state'>): string[] =>
  unfinished.flatMap(([table, sql]) =>
    rows<{ what: string }>(sandbox, sql).map(({ what }) => `unfinished in ${table}: ${what}`),
  );

/** What was left of the work, by the database and by the outside script; empty when all is clean. */
export const leftovers = (sandbox: Place): string[] => [
  ...unfinishedWork(sandbox),
  ...strangeThings(sandbox),
];

/** Keys of the layers whose bytes are whole in the blob store now. */
export function wholeLayers({ state, family }: Sandbox): string[] {
  return family.layers
    .filter(({ hex }) => existsSync(join(state, 'blobs', 'sha256', hex)))
    .map(({ key }) => key);
}

/** How far the server's log is, once everything that was asked is answered: a killed client's requests too. */
export async function settledRequests({ asked, answered }: Sandbox): Promise<number> {
  await until('all requests are over', () => (asked.length === answered.length ? true : null));
  return answered.length;
}

/** Layers that were fetched needlessly since request number `from`: though whole before, or twice. */
export async function needlessFetches(
  sandbox: Sandbox,
  whole: readonly string[],
  from: number,
): Promise<string[]> {
  await settledRequests(sandbox);
  const since = sandbox.answered.slice(from).filter(({ method }) => method === 'GET');
  return sandbox.family.layers.flatMap(({ key, size }) => {
    const gets = since.filter((request) => request.key === key);
    const bytes = gets.reduce((sum, request) => sum + request.bytes, 0);
    if (whole.includes(key) && gets.length > 0) return [`fetched again though whole: ${key}`];
    return bytes > size ? [`fetched more than once: ${key}: ${bytes} of ${size} bytes`] : [];
  });
}

/** Everything that is wrong with a pull that was disturbed and then run to its end. */
export function problemsOf(sandbox: Sandbox, ended: Ended, reference: Reference): string[] {
  if (ended.code !== 0)
    return [`it ended with ${ended.signal ?? ended.code}: ${ended.stdout}${ended.stderr}`];
  const document = documentOf<PullDocument>(ended);
  const now = JSON.stringify(essence(document));
  const then = JSON.stringify(reference.document);
  const problems = now === then ? [] : [`another result: ${now} instead of ${then}`];
  problems.push(...diffRootfs(reference.rootfs, readRootfs(document.activation.rootfs)));
  problems.push(...leftovers(sandbox));
  return problems;
}
