import { closeSync, cpSync, fsyncSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { makeFamily } from '../crash/family.ts';
import { type CommandName, flyd } from '../support/flyd-here.ts';
import { type Rootfs, readRootfs } from '../support/rootfs.ts';
import { tar } from '../support/tar-builder.ts';
import { type Machine, mountRoot, partPath, statePath } from './machine.ts';

/** What was said to be done, and so must be there after a power cut. */
export interface Report {
  step: string;
  /** The run that was reported, or null for a write of the activation's user. */
  run: string | null;
  status: string | null;
  /** From here on. Activations by name; the images of families; what the trees hold, by name. */
  images: string[];
  activations: string[];
}

/** The port at which the bucket is served, in a network of the machine's own. */
export const serverPort = 9300;

/**
 * Makes the bucket: three families that share their lowest layer, one of which cannot be unpacked. Gives the
 * folder to serve.
 */
export function makeBucket(folder: string): string {
  const { served } = makeFamily(folder, { files: 10, bytes: 100_000 });
  const images = join(served, 'images');
  const copy = (family: string, file: string): void => {
    mkdirSync(join(images, family), { recursive: true });
    cpSync(join(images, 'sample', file), join(images, family, file));
  };
  copy('second', '01-base.tar.gz');
  copy('second', '02-tools.tar');
  copy('damaged', '01-base.tar.gz');
  writeFileSync(join(images, 'damaged', '02-own.tar'), ownLayer());
  writeFileSync(join(images, 'damaged', '03-bad.tar'), 'no archive\n'.repeat(1000));
  return served;
}

/** A layer that no other family has: what a sweep finds when the family came to nothing. */
const ownLayer = (): Buffer => tar({ name: 'own', data: 'own\n'.repeat(10_000) });

interface Step {
  name: string;
  command: CommandName;
  args: readonly string[];
  /** Whether it is to end with a failed run. */
  fails: boolean;
  /** What is there when it is done. */
  images: readonly string[];
  activations: readonly string[];
}

const steps: readonly Step[] = [
  step('pull', 'pull', ['sample', '--name', 'one'], ['sample'], ['one']),
  step('activate', 'activate', ['sample', '--name', 'two'], ['sample'], ['one', 'two']),
  step('pull another', 'pull', ['second', '--name', 'three'], ['sample', 'second'], ['one', 'two', 'three']),
  step('deactivate', 'deactivate', ['two'], ['sample', 'second'], ['one', 'three']),
  step('rm', 'rm', ['second', '--force'], ['sample'], ['one']),
  { ...step('pull in vain', 'pull', ['damaged'], ['sample'], ['one']), fails: true },
  step('gc', 'gc', [], ['sample'], ['one']),
];

function step(
  name: string,
  command: CommandName,
  args: readonly string[],
  images: readonly string[],
  activations: readonly string[],
): Step {
  return { name, command, args, images, activations, fails: false };
}

/** Flags with which every command finds its state; those of work that pulls. */
export const stateFlags = (machine: Machine): string[] => [
  '--state-dir',
  statePath(machine),
  '--mount-root',
  mountRoot(machine),
];

/** What an operator has in the configuration file, for each command that may make a volume. */
export const volumeFlags = ({ driver }: Machine): string[] =>
  driver === 'devmapper' ? ['--volume-size', '32M'] : [];

const pullFlags = (machine: Machine): string[] => [
  ...['--source', 's3://images/', '--endpoint', `http://127.0.0.1:${serverPort}`, '--anonymous'],
  ...['--driver', machine.driver],
  ...(machine.driver === 'devmapper'
    ? ['--pool-data', partPath(machine, 'data'), '--pool-meta', partPath(machine, 'meta')]
    : []),
  ...volumeFlags(machine),
];

/** What the user of activation `one` writes into it and syncs. */
export const userFile = { path: 'srv/data/by-the-user', content: 'kept through a power cut\n' } as const;

export interface Told {
  reports: Report[];
  /** The tree of each family's activation, fresh. */
  trees: Record<string, [string, string][]>;
}

/** One run of each operation, or of the first `stepsMax`. `mark` is called at the moment of each report, with its number. */
export async function play(
  machine: Machine,
  mark: (text: string) => void,
  stepsMax: number = steps.length,
): Promise<Told> {
  const reports: Report[] = [];
  const trees: Told['trees'] = {};
  const tell = (report: Report): void => {
    mark(`report-${reports.length}`);
    reports.push(report);
  };
  for (const { name, command, args, fails, images, activations } of steps.slice(0, stepsMax)) {
    const flags = [...stateFlags(machine), ...(command === 'pull' ? pullFlags(machine) : [])];
    const { code, document } = await flyd(command, [...args, ...flags], (said) => {
      const { run = null, status = null } = said as { run?: string; status?: string };
      tell({ step: name, run, status, images: [...images], activations: [...activations] });
    });
    if ((code !== 0) !== fails) throw new Error(`${name} ended with ${code}: ${JSON.stringify(document)}`);
    if (command !== 'pull' || code !== 0) continue;
    const { rootfs } = (document as { activation: { rootfs: string } }).activation;
    trees[args[0] ?? ''] = [...(readRootfs(rootfs) as Rootfs)];
    if (name !== 'pull') continue;
    const file = openSync(join(rootfs, userFile.path), 'w', 0o644);
    writeSync(file, userFile.content);
    fsyncSync(file);
    closeSync(file);
    const folder = openSync(join(rootfs, 'srv/data'), 'r');
    fsyncSync(folder);
    closeSync(folder);
    tell({ step: 'write', run: null, status: null, images: [...images], activations: [...activations] });
  }
  return { reports, trees };
}
