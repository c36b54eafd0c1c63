import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkout, type Outcome, runVm } from '../vm/guest.ts';
import { diskBytes, type PowerDriver } from './machine.ts';
import type { Verdict } from './plan.ts';
import { makeBucket } from './scenario.ts';
import { readVerdicts } from './verdicts.ts';

/**
 * Records in a guest what flyd writes, and replays it with the power cut: the devmapper driver in guests,
 * the others on this host, in a network and a mount namespace of their own.
 */
export interface Campaign {
  /** Has the bucket, and a folder for each recording with its log, what was told, and the verdicts. */
  folder: string;
}

export interface Recording {
  /** Also the name of its folder. */
  name: string;
  driver: PowerDriver;
  /** A module that Node loads first: the canary's. */
  preload?: string;
  /** Only so many operations, from the first. */
  steps?: number;
}

export interface CutOptions {
  count: number;
  seed: number;
  /** One cut only, as `keyOf` names it. */
  only?: string | undefined;
  /** `2/3`: the second of three equal parts. */
  shard?: string;
}

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
/** Log devices are sparse; what a recording writes is below 50 MB. */
const logSize = '512M';
const share = '/mnt/power';

/** A fresh campaign below the folder of temporary files. */
export function newCampaign(): Campaign {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'flyd-power-'));
  mkdirSync(join(folder, 'work'), { mode: 0o700 });
  makeBucket(folder);
  return { folder };
}

export const removeCampaign = ({ folder }: Campaign): void =>
  rmSync(folder, { recursive: true, force: true });

/** What a command of node needs to run a file of this folder. */
const nodeCommand = (file: string, preload: string | undefined, args: readonly string[]): string[] => [
  process.execPath,
  ...(preload === undefined ? [] : ['--import', preload]),
  here(file),
  ...args,
];

/** Records all of these in one guest; throws with what the guest said when it fails. */
export async function record(
  campaign: Campaign,
  recordings: readonly Recording[],
  minutesMax: number,
): Promise<void> {
  const { folder } = campaign;
  const disks: string[] = [];
  const lines: string[] = ['modprobe dm-log-writes', ...guestFolders(campaign)];
  for (const { name, driver, preload, steps } of recordings) {
    mkdirSync(join(folder, name), { recursive: true });
    disks.push('--disk', `${diskBytes(driver)}:${name}`);
    disks.push('--disk-file', `${join(folder, name, 'log')}:${logSize}`);
    const log = `/dev/vd${String.fromCharCode(97 + disks.length / 2 - 1)}`;
    const args = [driver, `/dev/vm/${name}`, log, '/run/served', machineFolder(campaign), `${share}/${name}`];
    if (steps !== undefined) args.push(`${steps}`);
    lines.push(nodeCommand('./record.ts', preload, args).join(' '));
  }
  await inGuest(campaign, disks, lines, minutesMax);
}

/** Replays in a guest, in as many boots as it takes; gives all verdicts there are. */
export async function replayInGuest(
  campaign: Campaign,
  { name, driver }: Recording,
  options: CutOptions,
  minutesMax: number,
): Promise<Verdict[]> {
  const log = join(campaign.folder, name, 'log');
  const command = replayCommand(driver, '/dev/vda', `${share}/${name}`, '/run/served', campaign, options);
  await inGuest(campaign, ['--disk-file', log], [...guestFolders(campaign), command.join(' ')], minutesMax);
  return verdictsOf(campaign, name);
}

/** Replays on this host: root, loop devices, overlayfs and the file systems must be there. */
export async function replayHere(
  campaign: Campaign,
  { name, driver }: Recording,
  options: CutOptions,
): Promise<Verdict[]> {
  const { folder } = campaign;
  const served = join(folder, 'served');
  const command = replayCommand(
    driver,
    join(folder, name, 'log'),
    join(folder, name),
    served,
    campaign,
    options,
  );
  const script = `set -e; ip link set lo up; mount -t tmpfs -o mode=0700 power ${join(folder, 'work')}; exec ${command.join(' ')}`;
  // Its own processes too: the oracle calls whoever else works on a state of that name a leak.
  const apart = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const child = spawn('unshare', [...apart, 'bash', '-c', script], {
    cwd: checkout,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: join(folder, 'cache-host') },
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  if (code !== 0) throw new Error(`the replay ended with ${code}: ${said}`);
  return verdictsOf(campaign, name);
}

export const verdictsOf = ({ folder }: Campaign, name: string): Verdict[] => readVerdicts(join(folder, name));

function replayCommand(
  driver: PowerDriver,
  log: string,
  out: string,
  served: string,
  campaign: Campaign,
  { count, seed, only, shard = '1/1' }: CutOptions,
): string[] {
  const args = ['--driver', driver, '--log', log, '--out', out, '--served', served, '--shard', shard];
  args.push('--folder', machineFolder(campaign), '--count', `${count}`, '--seed', `${seed}`);
  if (only !== undefined) args.push('--only', only);
  return nodeCommand('./replay.ts', undefined, args);
}

/** The same path wherever a recording is made or replayed: it is in the database. */
const machineFolder = ({ folder }: Campaign): string => join(folder, 'work', 'machine');

const guestFolders = ({ folder }: Campaign): string[] => [
  `mkdir -p -m 700 ${join(folder, 'work')}`,
  `cp -a ${share}/served /run/served`,
];

/** Under emulation Node itself dies now and then; what was judged by then is kept, and the rest tried again. */
const bootsMax = 4;

async function inGuest(
  { folder }: Campaign,
  disks: readonly string[],
  lines: readonly string[],
  minutesMax: number,
): Promise<void> {
  for (let boot = 1; ; boot += 1) {
    const { code, stdout, stderr }: Outcome = await runVm(
      ...['--cpus', '1', '--memory', '2G', '--timeout', String(minutesMax * 60), ...disks],
      ...['--share', `${folder}:power`, '--env', `NODE_COMPILE_CACHE=${share}/cache`],
      ...['--', 'bash', '-euc', lines.join('\n')],
    );
    if (code === 0) return;
    const died = /Segmentation fault|SIGSEGV/.test(stdout + stderr);
    if (!died || boot === bootsMax) throw new Error(`the guest ended with ${code}\n${stdout}${stderr}`);
  }
}
