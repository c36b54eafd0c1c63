import { type Command, InvalidArgumentError, Option } from 'commander';
import { driverNames } from '#core/image';
import { parseBytes } from '#infra/config/values';

/** Flags that mean the same in every command, in groups. Those of a setting have the setting's name. */

export function withCommon(command: Command): Command {
  return command
    .optionsGroup('Everywhere:')
    .option(
      '--state-dir <dir>',
      'where everything of flyd is (root: /var/lib/flyd, others: ~/.local/state/flyd)',
    )
    .option('--mount-root <dir>', 'activations are mounted at <dir>/<id> (root: /mnt/images)')
    .option('--config <file>', 'JSON file with settings (see `flyd settings`)')
    .option('--json', 'one JSON document on stdout, and nothing else there')
    .option(
      '--timeout <name=ms>',
      'connectMs, stallMs, slowMs, verifierMs, databaseMs, poolMs; can be repeated',
      pair,
    )
    .option('-v, --verbose', 'log to stderr what happens; twice: every command and request', count, 0);
}

export function withSource(command: Command): Command {
  return command
    .optionsGroup('Where the layers come from:')
    .option('--source <address>', 's3://bucket/prefix, or `seed` for the public sample bucket')
    .option('--endpoint <url>', 'an S3 server other than AWS')
    .option('--region <region>', 'default us-east-1')
    .option('--anonymous', 'send unsigned requests (else: AWS_* variables, files, instance role)')
    .option('--insecure', 'allow plain HTTP to another machine')
    .option('--platform <os/arch>', 'of an image that is there for several (default: of this machine)')
    .option('--auth-file <file>', 'credentials of registries (default: those of podman and docker)')
    .option(
      '--allow-host <host[:port]>',
      'a registry may send flyd there, whatever its address; can be repeated',
      hosts,
    )
    .option('--verifier <command>', 'asked before anything is fetched; exit code 0 allows the image')
    .option('--retries <n>', 'attempts before a run is parked (6)');
}

export function withWork(command: Command): Command {
  return command
    .optionsGroup('Volumes:')
    .addOption(
      new Option('--driver <driver>', 'what makes volumes and snapshots: auto chooses and says why').choices([
        'auto',
        ...driverNames,
      ]),
    )
    .option('--pool <name>', 'devmapper: use this existing thin pool')
    .option('--pool-data <device>', 'devmapper: make a pool of this block device, which must be blank ...')
    .option('--pool-meta <device>', '... with its metadata on this one')
    .option('--pool-name <name>', 'devmapper: name of the pool that flyd makes')
    .option('--pool-size <size>', 'devmapper: size of the loop file of a pool for trying out (10G)')
    .option('--pool-meta-size <size>', 'devmapper: size of its metadata (computed)')
    .option('--block-size <size>', 'devmapper: block size of a new pool (64K)')
    .option('--low-water <blocks>', 'devmapper: low-water mark of a new pool (a tenth)')
    .option(
      '--skip-block-zeroing',
      'devmapper: faster; whoever reads a raw disk sees old data. Single tenants only',
    )
    .option('--volume-size <size>', 'devmapper: virtual size of a base (10G)')
    .option('--fs <type>', 'devmapper: ext4 or xfs')
    .option(
      '--warn-at <name=percent>',
      'devmapper: warn when data or metadata of the pool is so full (80)',
      pair,
    )
    .optionsGroup('Limits:')
    .option('--parallel <n>', 'downloads at once (4)')
    .option('--limit <name=value>', 'change one limit on what strangers send; can be repeated', pair);
}

export function withActivation(command: Command): Command {
  return command
    .optionsGroup('The activation:')
    .option('--name <name>', 'a name to call it by')
    .option('--size <size>', 'devmapper: grow file system and device to this', bytes)
    .option('--read-only', 'mount it read-only')
    .option('--owner <uid:gid>', 'owner of the root folder of the tree', owner)
    .option('--ephemeral', 'not mounted again after a reboot: `flyd resume` removes it')
    .option('--suid', 'honour set-user-id programs (default: nosuid)')
    .option('--dev', 'honour device nodes (default: nodev)')
    .addOption(
      new Option('--attach <how>', 'device (devmapper): map it and mount nothing, for a microVM')
        .choices(['mount', 'device'])
        .default('mount'),
    );
}

const count = (_: string, before: number): number => before + 1;

function pair(text: string, before: string[] = []): string[] {
  if (!/^[A-Za-z]+=.+$/.test(text)) throw new InvalidArgumentError('write name=value');
  return [...before, text];
}

const hosts = (text: string, before: string[] = []): string[] => [...before, text];

function bytes(text: string): number {
  const size = parseBytes(text);
  if (size === undefined) throw new InvalidArgumentError('write a size: 512M, 10G');
  return size;
}

function owner(text: string): { uid: number; gid: number } {
  const { uid, gid } = /^(?<uid>\d{1,10}):(?<gid>\d{1,10})$/.exec(text)?.groups ?? {};
  if (uid === undefined || gid === undefined) throw new InvalidArgumentError('write uid:gid, both numbers');
  return { uid: Number(uid), gid: Number(gid) };
}

/** The flags of a command that are settings, by the settings' names. Others are the command's own. */
const settingFlags = [
  'stateDir',
  'mountRoot',
  'source',
  'endpoint',
  'region',
  'anonymous',
  'insecure',
  'platform',
  'authFile',
  'verifier',
  'driver',
  'parallel',
  'pool',
  'poolData',
  'poolMeta',
  'poolName',
  'poolSize',
  'poolMetaSize',
  'blockSize',
  'lowWater',
  'skipBlockZeroing',
  'volumeSize',
  'fs',
] as const;

export interface CommonFlags {
  json?: true;
  verbose?: number;
  config?: string;
  limit?: string[];
  warnAt?: string[];
  timeout?: string[];
  retries?: string;
  allowHost?: string[];
}

/** What `resolveSettings` wants to know of the flags. */
export function flagsOf(given: CommonFlags & Readonly<Record<string, unknown>>): {
  flags: Record<string, unknown>;
  configFile: string | undefined;
} {
  const flags: Record<string, unknown> = {};
  for (const name of settingFlags) flags[name] = given[name];
  if ((given.limit ?? []).length > 0) flags.limits = given.limit?.join(',');
  if ((given.warnAt ?? []).length > 0) flags.warnAt = given.warnAt?.join(',');
  if ((given.timeout ?? []).length > 0) flags.timeouts = given.timeout?.join(',');
  if (given.retries !== undefined) flags.retry = `attempts=${given.retries}`;
  if ((given.allowHost ?? []).length > 0) flags.allowHosts = given.allowHost?.join(',');
  if ((given.verbose ?? 0) > 0) flags.verbosity = given.verbose;
  return { flags, configFile: given.config };
}
