import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { dropCaches, type Taken, timed, versionOf } from './run.ts';

/** Something that makes a tree of an image's layers, from where they are served to all of it on the disk. */
export interface Subject {
  name: string;
  version: string;
  /** False for one that reads local files. */
  fetches: boolean;
  /** Works in an empty folder; `tree` is what a program would then run in. */
  pull(work: string): Promise<Pulled>;
}

/** Null is what cannot be told. */
export type Pulled = Pick<Taken, 'seconds'> & {
  [Figure in 'cpuSeconds' | 'peakMiB']: number | null;
} & { tree: string; note: string };

export interface Places {
  /** The folder of the checkout. */
  root: string;
  /** The command, installed. */
  flyd: string;
  /** Of the embedded S3 server. */
  endpoint: string;
  /** What its client must say, and have in its environment. */
  access: string;
  keys: Readonly<Record<string, string>>;
  /** An OCI layout with the families as tags. */
  layout: string;
  /** Of the registry that serves the layout. */
  registry: string;
  /** The processors for what is measured; null: all. */
  cores: string | null;
  layersOf(family: string): readonly string[];
  /** What stays in the page cache. */
  warm: readonly string[];
}

/** What is pulled, and what was pulled before it into the same state directory, unmeasured. */
export interface Task {
  family: string;
  before?: string;
  /** From the registry, whose digests say beforehand what is there already; else from the bucket. */
  fromRegistry?: boolean;
  /** Added to the subject's name. */
  title?: string;
}

export const named = (name: string, { title }: Task): string =>
  title === undefined ? name : `${name}, ${title}`;

/** flyd as it is published, with one of its drivers: fetched, verified, activated; what it made is synced. */
export function flydSubject(places: Places, driver: string, task: Task): Subject {
  const { root, flyd, endpoint, access, keys, registry, cores, warm } = places;
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  return {
    name: named(`flyd ${driver}`, task),
    version,
    fetches: true,
    async pull(work) {
      const where = `--state-dir ${work}/state --mount-root ${work}/mnt --driver ${driver}`;
      const source = (family: string): string =>
        task.fromRegistry === true
          ? `${registry}/bench/${family}:${family} --insecure`
          : `${family} --source s3://images --endpoint ${endpoint} ${access}`;
      const pull = (family: string, ...more: string[]): string =>
        `${flyd} pull ${source(family)} ${where} ${more.join(' ')}`;
      const settings = { env: keys, cores };
      if (task.before !== undefined) {
        timed(pull(task.before, '--no-activate'), settings);
        dropCaches(warm);
      }
      const taken = timed(`${pull(task.family, '--json')} > ${work}/pull.json`, settings);
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
export function floorSubjects({ layersOf, cores }: Places, family: string): (Subject | string)[] {
  const layers = layersOf(family);
  const oneAfterAnother = (inflate: string) => (tree: string) =>
    layers.map((layer) => `${inflate} ${layer} | tar x -C ${tree}`).join('\n');
  const sideBySide = (inflate: string) => (tree: string) =>
    `${layers.map((layer, n) => `mkdir ${tree}/${n}; (${inflate} ${layer} | tar x -C ${tree}/${n}) &`).join('\n')}\nwait`;
  const gzip = [
    { name: 'tar xzf, layer after layer', needs: 'tar', script: oneAfterAnother('gzip -dc') },
    { name: 'igzip | tar x, layer after layer', needs: 'igzip', script: oneAfterAnother('igzip -dc') },
    { name: 'igzip | tar x, side by side', needs: 'igzip', script: sideBySide('igzip -dc') },
  ];
  const zstd = [{ name: 'zstd | tar x, side by side', needs: 'zstd', script: sideBySide('zstd -qdc') }];
  return (layers[0]?.endsWith('zst') ? zstd : gzip).map(({ name, needs, script }) => {
    const version = versionOf(needs, '--version');
    if (version === null)
      return `${name}: ${needs} is not installed (apt-get install ${needs === 'igzip' ? 'isal' : needs})`;
    return {
      name,
      version,
      fetches: false,
      async pull(work: string) {
        const tree = join(work, 'tree');
        mkdirSync(tree);
        const taken = timed(`${script(tree)}\nsync --file-system ${work}`, { cores });
        return { ...taken, tree, note: 'reads local files; fetches and verifies nothing' };
      },
    };
  });
}

/** umoci, from a local OCI layout. */
export function umociSubject({ layout, cores }: Places, command: string, family: string): Subject | null {
  const version = versionOf(command, '--version');
  if (version === null) return null;
  return {
    name: 'umoci unpack',
    version,
    fetches: false,
    async pull(work) {
      const taken = timed(
        `${command} unpack --image ${layout}:${family} ${work}/bundle\nsync --file-system ${work}`,
        { cores },
      );
      return { ...taken, tree: join(work, 'bundle/rootfs'), note: 'reads a local layout; verifies digests' };
    },
  };
}
