import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Taken, timed, versionOf } from './run.ts';

/** Something that makes a tree of an image's layers, from where they are served to all of it on the disk. */
export interface Subject {
  name: string;
  version: string;
  /** Works in an empty folder; `tree` is what a program would then run in. */
  pull(work: string): Promise<Pulled>;
}

/** Null is what cannot be told. */
export type Pulled = Pick<Taken, 'seconds'> & {
  [Figure in 'cpuSeconds' | 'peakMiB']: number | null;
} & { tree: string; note: string };

export interface Places {
  /** The folder of the checkout, built. */
  root: string;
  /** Of the embedded S3 server. */
  endpoint: string;
  family: string;
  /** The layers as files, in order: for those that fetch nothing. */
  layers: readonly string[];
  /** An OCI layout with the family as a tag. */
  layout: string;
}

/** flyd as it is published, with one of its drivers: fetched, verified, activated; what it made is synced. */
export function flydSubject(places: Places, driver: string): Subject {
  const { root, endpoint, family } = places;
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const flyd = `${process.execPath} ${join(root, 'dist/bundle/main.js')}`;
  return {
    name: `flyd ${driver}`,
    version,
    async pull(work) {
      const where = `--state-dir ${work}/state --mount-root ${work}/mnt`;
      const taken = timed(
        `${flyd} pull ${family} --source s3://images --endpoint ${endpoint} --anonymous --driver ${driver} ${where} --json > ${work}/pull.json`,
      );
      const { activation } = JSON.parse(readFileSync(join(work, 'pull.json'), 'utf8')) as {
        activation: { rootfs: string };
      };
      return {
        ...taken,
        tree: activation.rootfs,
        note: 'keeps the compressed layers; digests and diffIDs verified',
      };
    },
  };
}

/** Commands that fetch nothing and verify nothing, as a floor. */
export function floorSubjects({ layers }: Places): (Subject | string)[] {
  const oneAfterAnother = (inflate: string) => (tree: string) =>
    layers.map((layer) => `${inflate} ${layer} | tar x -C ${tree}`).join('\n');
  const sideBySide = (inflate: string) => (tree: string) =>
    `${layers.map((layer, n) => `mkdir ${tree}/${n}; (${inflate} ${layer} | tar x -C ${tree}/${n}) &`).join('\n')}\nwait`;
  const floors = [
    { name: 'tar xzf, layer after layer', needs: 'tar', script: oneAfterAnother('gzip -dc') },
    { name: 'igzip | tar x, layer after layer', needs: 'igzip', script: oneAfterAnother('igzip -dc') },
    { name: 'igzip | tar x, side by side', needs: 'igzip', script: sideBySide('igzip -dc') },
  ];
  return floors.map(({ name, needs, script }) => {
    const version = versionOf(needs, '--version');
    if (version === null)
      return `${name}: ${needs} is not installed (apt-get install ${needs === 'igzip' ? 'isal' : needs})`;
    return {
      name,
      version,
      async pull(work: string) {
        const tree = join(work, 'tree');
        mkdirSync(tree);
        const taken = timed(`${script(tree)}\nsync --file-system ${work}`);
        return { ...taken, tree, note: 'reads local files; fetches and verifies nothing' };
      },
    };
  });
}

/** umoci, from a local OCI layout. */
export function umociSubject({ layout, family }: Places, command: string): Subject | null {
  const version = versionOf(command, '--version');
  if (version === null) return null;
  return {
    name: 'umoci unpack',
    version,
    async pull(work) {
      const taken = timed(
        `${command} unpack --image ${layout}:${family} ${work}/bundle\nsync --file-system ${work}`,
      );
      return { ...taken, tree: join(work, 'bundle/rootfs'), note: 'reads a local layout; verifies digests' };
    },
  };
}
