import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { type FlydError, unrecoverable } from '#core/errors';
import type { DriverName } from '#core/image';
import { defaultLimits, type Limits } from '#core/limits';
import { defaultWarnAt, type WarnAt } from '#core/pool-fill';
import type { Given } from './config/schema.ts';

/** Everything that can be set, resolved. Sizes are bytes, paths absolute; null is "not set". No secrets. */
export interface Settings {
  stateDir: string;
  mountRoot: string;
  /** `s3://bucket/prefix`, or `seed`. */
  source: string | null;
  endpoint: string | null;
  region: string;
  anonymous: boolean;
  insecure: boolean;
  /** `os/architecture[/variant]` instead of this machine's. */
  platform: string | null;
  /** Hosts, with port or without, that a registry may send flyd to though their addresses are not public. */
  allowHosts: string[];
  /** A credential file instead of the usual ones. */
  authFile: string | null;
  /** A command that judges images before they are fetched. */
  verifier: string | null;
  driver: DriverName | 'auto';
  /** Downloads at once. */
  parallel: number;
  verbosity: number;
  /** An existing thin pool to adopt, by its device-mapper name. */
  pool: string | null;
  poolData: string | null;
  poolMeta: string | null;
  /** Name of a pool that flyd makes. */
  poolName: string | null;
  poolSize: number | null;
  poolMetaSize: number | null;
  blockSize: number | null;
  /** Blocks. */
  lowWater: number | null;
  skipBlockZeroing: boolean;
  /** Virtual size of a base volume. */
  volumeSize: number | null;
  /** File system of a base volume. */
  fs: 'ext4' | 'xfs' | null;
  limits: Limits;
  /** From where on a pool counts as nearly full. Percent. */
  warnAt: WarnAt;
  /** Milliseconds: see infra/config/schema.ts. */
  timeouts: Timeouts;
  retry: Partial<
    Record<'attempts' | 'pauseMs' | 'pauseMsMax' | 'pendingPauseMs' | 'pendingPauseMsMax', number>
  >;
  /** After so long without a sign of life an owner counts as stuck. */
  stuckAfterMs: number | null;
  /** So many days after its end a run is forgotten, with its history. */
  keepRunsDays: number;
}

/** How long flyd waits, in milliseconds. */
export interface Timeouts {
  /** For a connection, TLS included. */
  connectMs: number;
  /** Without one byte of an answer: then the source counts as dead, and the next attempt goes on from there. */
  stallMs: number;
  /** The span over which the least rate (`limits.sourceRateMin`) is measured: waiting for the source alone counts. */
  slowMs: number;
  /** For the verifier's answer. */
  verifierMs: number;
  /** For the database, while another process has it locked or its disk fails. */
  databaseMs: number;
  /** For room in an adopted thin pool that is full and whose writers wait (`queue_if_no_space`). */
  poolMs: number;
}

export const defaultTimeouts: Timeouts = {
  connectMs: 10_000,
  stallMs: 15_000,
  slowMs: 60_000,
  verifierMs: 10_000,
  databaseMs: 20_000,
  poolMs: 60_000,
};

/** What the surroundings of the process say, apart from settings. */
export interface Surroundings {
  /** `PATH`, to find external commands. */
  path: string;
  color: boolean;
  /** A drill for tests: see infra/fault.ts. */
  fault: string | null;
  /** Values of AWS_* that no log may show. */
  secrets: string[];
  /** Where credentials of registries are looked for, in this order; those that are not there are passed over. */
  authFiles: string[];
}

export interface Resolved {
  settings: Settings;
  surroundings: Surroundings;
}

export interface ResolveOptions {
  /** By the name of the setting, as the command line gave them; undefined counts as not given. */
  flags: Readonly<Record<string, unknown>>;
  /** Path of a JSON file with settings. */
  configFile: string | undefined;
  uid: number;
  environment?: Readonly<Record<string, string | undefined>>;
}

interface Candidate {
  key: string;
  value: unknown;
  /** How the person wrote it, for messages. */
  from: string;
}

/** Variables of flyd that are no settings. */
const otherVariables: readonly string[] = ['FLYD_CONFIG', 'FLYD_FAULT'];
const pathKeys: readonly string[] = ['stateDir', 'mountRoot', 'poolData', 'poolMeta', 'authFile', 'verifier'];

/**
 * The settings: flag, then `FLYD_*` variable, then config file, then default. Unknown names are refused
 * and every fault is told at once, as one `usage` error.
 */
export async function resolveSettings(options: ResolveOptions): Promise<Resolved> {
  const environment = options.environment ?? process.env;
  const file = options.configFile ?? environment.FLYD_CONFIG;
  const candidates = [...fromFile(file), ...fromEnvironment(environment), ...fromFlags(options.flags)];
  const given = candidates.length === 0 ? {} : await check(candidates);
  return {
    settings: withDefaults(given, environment, options.uid),
    surroundings: {
      path: environment.PATH ?? '',
      color: (environment.NO_COLOR ?? '') === '' && environment.TERM !== 'dumb',
      fault: environment.FLYD_FAULT ?? null,
      secrets: ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN']
        .map((name) => environment[name] ?? '')
        .filter((value) => value !== ''),
      authFiles: authFilesOf(given.authFile, environment),
    },
  };
}

/** The later candidate of a name wins, but each is checked: a fault that is hidden today bites tomorrow. */
async function check(candidates: readonly Candidate[]): Promise<Given> {
  // zod takes 40 ms to load: nobody who sets nothing waits for it.
  const { checkSetting } = await import('./config/schema.ts');
  const given: Record<string, unknown> = {};
  const faults: string[] = [];
  for (const { key, value, from } of candidates) {
    const checked = checkSetting(key, value);
    if (checked.ok) given[key] = checked.value;
    else faults.push(...checked.problems.map((problem) => `${from}: ${problem}`));
  }
  if (faults.length > 0) throw usage(faults);
  return given;
}

function withDefaults(
  given: Given,
  environment: Readonly<Record<string, string | undefined>>,
  uid: number,
): Settings {
  const stateDir = given.stateDir ?? defaultStateDir(environment, uid);
  return {
    stateDir,
    mountRoot: given.mountRoot ?? (uid === 0 ? '/mnt/images' : join(stateDir, 'mnt')),
    source: given.source ?? null,
    endpoint: given.endpoint ?? null,
    region: given.region ?? 'us-east-1',
    anonymous: given.anonymous ?? false,
    insecure: given.insecure ?? false,
    platform: given.platform ?? null,
    allowHosts: given.allowHosts ?? [],
    authFile: given.authFile ?? null,
    verifier: given.verifier ?? null,
    driver: given.driver ?? 'auto',
    parallel: given.parallel ?? 4,
    verbosity: given.verbosity ?? 0,
    pool: given.pool ?? null,
    poolData: given.poolData ?? null,
    poolMeta: given.poolMeta ?? null,
    poolName: given.poolName ?? null,
    poolSize: given.poolSize ?? null,
    poolMetaSize: given.poolMetaSize ?? null,
    blockSize: given.blockSize ?? null,
    lowWater: given.lowWater ?? null,
    skipBlockZeroing: given.skipBlockZeroing ?? false,
    volumeSize: given.volumeSize ?? null,
    fs: given.fs ?? null,
    limits: { ...defaultLimits, ...given.limits },
    warnAt: { ...defaultWarnAt, ...given.warnAt },
    timeouts: { ...defaultTimeouts, ...given.timeouts },
    retry: given.retry ?? {},
    stuckAfterMs: given.stuckAfterMs ?? null,
    keepRunsDays: given.keepRunsDays ?? 90,
  };
}

/** containers-auth.json(5), then the Docker client's own; a file that was named is the only one. */
function authFilesOf(
  named: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): string[] {
  if (named !== undefined) return [named];
  const { REGISTRY_AUTH_FILE, DOCKER_CONFIG, XDG_RUNTIME_DIR } = environment;
  return [
    REGISTRY_AUTH_FILE ?? '',
    isAbsolute(XDG_RUNTIME_DIR ?? '') ? join(XDG_RUNTIME_DIR ?? '', 'containers/auth.json') : '',
    join(DOCKER_CONFIG ?? join(homedir(), '.docker'), 'config.json'),
  ].filter(isAbsolute);
}

function defaultStateDir(environment: Readonly<Record<string, string | undefined>>, uid: number): string {
  if (uid === 0) return '/var/lib/flyd';
  // XDG Base Directory: a relative path there is to be ignored.
  const base = environment.XDG_STATE_HOME ?? '';
  return join(isAbsolute(base) ? base : join(homedir(), '.local', 'state'), 'flyd');
}

function fromFile(path: string | undefined): Candidate[] {
  if (path === undefined) return [];
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw unrecoverable('usage', `the config file cannot be read: ${(error as Error).message}`, {
      subject: path,
      hint: 'it is JSON: {"source": "s3://bucket/prefix", "driver": "auto"}',
      cause: error,
    });
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content))
    throw usage([`${path}: is no JSON object`]);
  return Object.entries(content).map(([key, value]) => ({ key, value, from: `${path}: ${key}` }));
}

function fromEnvironment(environment: Readonly<Record<string, string | undefined>>): Candidate[] {
  return Object.entries(environment).flatMap(([name, value]) =>
    name.startsWith('FLYD_') && !otherVariables.includes(name) && value !== undefined
      ? [candidate(camelCase(name.slice('FLYD_'.length)), value, name)]
      : [],
  );
}

function fromFlags(flags: Readonly<Record<string, unknown>>): Candidate[] {
  return Object.entries(flags).flatMap(([key, value]) =>
    value === undefined ? [] : [candidate(key, value, key === 'limits' ? '--limit' : `--${kebabCase(key)}`)],
  );
}

/** What was typed may be relative to where it was typed. */
const candidate = (key: string, value: unknown, from: string): Candidate => ({
  key,
  value: pathKeys.includes(key) && typeof value === 'string' && value !== '' ? resolve(value) : value,
  from,
});

const camelCase = (name: string): string =>
  name.toLowerCase().replace(/_+([a-z])/g, (_, letter: string) => letter.toUpperCase());
const kebabCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

const usage = (faults: readonly string[]): FlydError =>
  unrecoverable('usage', faults.join('; '), {
    op: 'configuration',
    subject: faults.length === 1 ? 'one setting' : `${faults.length} settings`,
    hint: 'flyd settings lists them all',
  });
