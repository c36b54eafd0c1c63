import { execFileSync } from 'node:child_process';
import { appendFileSync, closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startS3Server } from '#infra/s3-server';
import { mulberry32 } from '../crash/seed.ts';
import { flyd } from '../support/flyd-here.ts';
import { expectedFailure, judge, stepUnderWay, thinDevices } from './judge.ts';
import { momentsOf, readFully, readLog } from './log-writes.ts';
import {
  connect,
  disconnect,
  disconnectParts,
  diskBytes,
  fileSystemOf,
  type Machine,
  mountState,
  type PowerDriver,
  partPath,
  statePath,
  tool,
} from './machine.ts';
import { chosenCuts, keyOf, type Torn, type Verdict } from './plan.ts';
import { replayDisk, tear } from './replayed-disk.ts';
import { serverPort, stateFlags, type Told, volumeFlags } from './scenario.ts';
import { readVerdicts, verdictsFile } from './verdicts.ts';

/**
 * Cuts the power of a recorded machine again and again, each time lets it come back, and judges what is
 * there. Appends a line of JSON for each cut to the shard's file of verdicts in <out>; those that any shard
 * has are not made again. Where it runs (a guest, a host) the network and the mounts are its own.
 */
const { values } = parseArgs({
  options: {
    driver: { type: 'string', default: '' },
    log: { type: 'string', default: '' },
    out: { type: 'string', default: '' },
    served: { type: 'string', default: '' },
    folder: { type: 'string', default: '' },
    count: { type: 'string', default: '1' },
    seed: { type: 'string', default: '0' },
    shard: { type: 'string', default: '1/1' },
    only: { type: 'string' },
  },
});
const driver = values.driver as PowerDriver;
const verdicts = verdictsFile(values.out, values.shard);
const work = `${values.folder}.disks`;
const told = JSON.parse(readFileSync(join(values.out, 'told.json'), 'utf8')) as Told;

mkdirSync(work, { recursive: true, mode: 0o700 });
const log = openSync(values.log, 'r');
const entries = readLog(log);
const moments = momentsOf(entries, 'begin');
const disk = replayDisk(join(work, 'whole'), diskBytes(driver), log, entries);
const server = await startS3Server({ dir: values.served, port: serverPort });
const done = new Set(readVerdicts(values.out).map(keyOf));
for (const cut of chosenCuts(moments, values)) {
  const moment = moments[cut.moment];
  if (moment === undefined || done.has(keyOf(cut))) continue;
  const started = performance.now();
  const image = join(work, 'cut');
  disk.advance(moment);
  execFileSync('cp', ['--sparse=always', join(work, 'whole'), image]);
  const torn: Torn =
    cut.seed === null
      ? { kept: 0, of: 0, whole: true }
      : tear(image, log, entries, moment, mulberry32(cut.seed));
  const problems = await comeBack(image, moment.marks);
  rmSync(image);
  const ms = Math.round(performance.now() - started);
  const step = stepUnderWay(told, moment.marks);
  const verdict: Verdict = { ...cut, step, torn, marks: moment.marks.length, ms, problems };
  appendFileSync(verdicts, `${JSON.stringify(verdict)}\n`);
}
await server.close();
disk.close();
process.exit(0);

/** Power on: the kernel mounts, flyd resumes, and everything is looked at. Gives what is wrong. */
async function comeBack(image: string, marks: readonly string[]): Promise<string[]> {
  const loop = tool('losetup', '--find', '--show', image).trim();
  const machine: Machine = { driver, disk: loop, folder: values.folder };
  const problems: string[] = [];
  let devices: number[] = [];
  try {
    connect(machine);
    mountState(machine);
    const { code, document } = await flyd('resume', [
      '--all',
      ...stateFlags(machine),
      ...volumeFlags(machine),
    ]);
    if (code !== 0 && !expectedFailure(told, marks))
      problems.push(`flyd resume ended with ${code}: ${JSON.stringify(document)}`);
    problems.push(...judge(machine, told, marks));
    devices = thinDevices(statePath(machine));
  } catch (error) {
    problems.push(`threw: ${(error as Error).stack ?? String(error)}`);
  } finally {
    disconnect(machine);
    problems.push(...checkOffline(machine, devices));
    disconnectParts(machine);
    tool('losetup', '--detach', loop);
  }
  return problems;
}

/** With everything unmounted: the file system and the pool's metadata are sound, and no device is in it too many. */
function checkOffline(machine: Machine, devices: readonly number[]): string[] {
  const state = partPath(machine, 'state');
  const problems =
    fileSystemOf(machine) === 'btrfs'
      ? verdictOf('btrfs', 'check', '--readonly', state)
      : verdictOf('e2fsck', '-f', '-n', state);
  if (machine.driver !== 'devmapper') return problems;
  const meta = partPath(machine, 'meta');
  if (devices.length === 0 && isBlank(meta)) return problems;
  problems.push(...verdictOf('thin_check', meta));
  const found = [...tool('thin_dump', meta).matchAll(/<device dev_id="(\d+)"/g)].map(([, id]) => Number(id));
  const [have, want] = [found, [...devices]].map((numbers) => numbers.sort((a, b) => a - b).join());
  if (have !== want) problems.push(`the pool has devices ${have}, the database ${want}`);
  return problems;
}

/** Nothing, or what the checker said when it found something. */
function verdictOf(command: string, ...args: string[]): string[] {
  try {
    tool(command, ...args);
    return [];
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    return [`${command}: ${stdout ?? ''}${stderr ?? ''}`];
  }
}

/** No pool was ever made on it. */
function isBlank(path: string): boolean {
  const head = Buffer.alloc(4096);
  const device = openSync(path, 'r');
  readFully(device, head, 0);
  closeSync(device);
  return head.every((byte) => byte === 0);
}
