import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fill } from '../scale/crowd.ts';
import { type Timed, timed } from '../timed.ts';
import { type Content, writeLayer } from './archive.ts';

/** What is measured against one kind of size. */
export interface Axis {
  name: string;
  title: string;
  unit: string;
  sizes: readonly number[];
  /** One curve each, with its CPU time beside it. */
  curves: readonly Curve[];
}

export interface Curve {
  name: string;
  /** Makes what a measurement of this size needs, once. */
  prepare?(size: number): Promise<void>;
  /** One measurement; leaves nothing that the next would find. */
  measure(size: number): Timed;
}

export interface Bench {
  root: string;
  folder: string;
  /** The installed command. */
  flyd: string;
  /** What `flyd s3 serve` serves, and where. */
  served: string;
  endpoint: string;
  isRoot: boolean;
}

/** All axes of growth, on this bench. */
export function axesOf(bench: Bench): Axis[] {
  const drivers = bench.isRoot ? ['erofs', 'overlay'] : ['copy'];
  const pulls = (familyOf: (size: number) => string, layersOf: (size: number) => Content[]): Curve[] =>
    drivers.map((driver) => ({
      name: `pull, ${driver}`,
      prepare: (size) => serveFamily(bench, familyOf(size), layersOf(size)),
      measure: (size) => pullAll(bench, driver, [familyOf(size)]),
    }));
  const [, ...others] = drivers;
  return [
    {
      name: 'entries',
      title: 'Entries of a layer (100 bytes each)',
      unit: 'entries',
      sizes: [1_000, 10_000, 100_000, 1_000_000],
      curves: pulls(
        (size) => `entries-${size}`,
        (files) => [{ files, bytes: 100, name: 'd' }],
      ),
    },
    {
      name: 'bytes',
      title: 'Bytes of a layer (files of 4 MiB)',
      unit: 'MiB',
      sizes: [4, 16, 64, 256, 1_024],
      curves: pulls(
        (size) => `bytes-${size}`,
        (size) => [{ files: size / 4, bytes: 4 * 1024 * 1024, name: 'd' }],
      ),
    },
    {
      name: 'layers',
      title: 'Layers of an image (20 files each)',
      unit: 'layers',
      sizes: [1, 3, 10, 30, 100],
      curves: pulls(
        (size) => `layers-${size}`,
        (size) => Array.from({ length: size }, (_, n) => ({ files: 20, bytes: 1_000, name: `layer${n}-` })),
      ),
    },
    {
      name: 'images',
      title: 'Images in the database (10 blobs each)',
      unit: 'images',
      sizes: [10, 100, 1_000, 10_000],
      curves: ['images', 'gc'].map((command) => ({
        name: `flyd ${command}`,
        prepare: (size) => crowd(bench, size),
        measure: (size) => timed(bench.flyd, [command, ...placeOf(join(bench.folder, `crowd-${size}`))]),
      })),
    },
    {
      name: 'pulls',
      title: 'Pulls at once (200 files each)',
      unit: 'processes',
      sizes: [1, 2, 4, 8, 16],
      curves: [
        {
          name: `pulls, ${others[0] ?? drivers[0]}`,
          prepare: async (size) => {
            for (let n = 0; n < size; n++)
              await serveFamily(bench, `pulls-${n}`, [{ files: 200, bytes: 2_000, name: `family${n}-` }]);
          },
          measure: (size) =>
            pullAll(
              bench,
              others[0] ?? drivers[0] ?? 'copy',
              Array.from({ length: size }, (_, n) => `pulls-${n}`),
            ),
        },
      ],
    },
    {
      name: 'runs',
      title: 'Runs at once (ten durable steps each)',
      unit: 'runs',
      sizes: [1, 10, 100, 1_000, 10_000],
      curves: [{ name: 'runs', measure: (size) => runsAtOnce(bench, size) }],
    },
  ];
}

const placeOf = (folder: string): string[] => [
  ...['--state-dir', join(folder, 'state')],
  ...['--mount-root', join(folder, 'mnt')],
];

const made = new Set<string>();

async function serveFamily({ served }: Bench, family: string, layers: readonly Content[]): Promise<void> {
  if (made.has(family)) return;
  made.add(family);
  const folder = join(served, 'images', family);
  mkdirSync(folder, { recursive: true });
  for (const [n, content] of layers.entries())
    await writeLayer(join(folder, `${String(n).padStart(3, '0')}.tar.gz`), content);
}

/** Pulls families into an empty state directory, each by a process of its own, all at once. */
function pullAll({ flyd, folder, endpoint }: Bench, driver: string, families: readonly string[]): Timed {
  const lab = join(folder, 'lab');
  const source = ['--source', 's3://images/', '--endpoint', endpoint, '--anonymous', '--driver', driver];
  const flags = [...source, '--no-activate', ...placeOf(lab)];
  mkdirSync(lab, { mode: 0o700 });
  try {
    timed(flyd, ['gc', ...placeOf(lab)]);
    const list = join(lab, 'families');
    writeFileSync(list, families.join('\n'));
    const atOnce = ['-a', list, '-P', String(families.length), '-I{}'];
    return timed('xargs', [...atOnce, flyd, 'pull', '{}', ...flags]);
  } finally {
    rmSync(lab, { recursive: true, force: true });
  }
}

async function crowd({ folder, flyd }: Bench, images: number): Promise<void> {
  const place = join(folder, `crowd-${images}`);
  if (made.has(place)) return;
  made.add(place);
  mkdirSync(place, { mode: 0o700 });
  timed(flyd, ['gc', ...placeOf(place)]);
  fill(join(place, 'state'), join(place, 'mnt'), {
    images,
    blobs: images * 10,
    endedRuns: 10,
    activations: 1,
  });
}

const hops = 10;

/** Wall and CPU time of so many runs at once, without the start of the process. */
function runsAtOnce({ root, folder }: Bench, runs: number): Timed {
  // Few runs are over before anything can be measured: as often as makes up two thousand steps.
  const rounds = Math.max(1, Math.ceil(2_000 / (runs * hops)));
  const steps = runs * hops * rounds;
  const args = [join(root, 'bench/engine/hops.ts'), String(runs), String(steps), folder, String(hops)];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`bench/engine/hops.ts ended with ${status}: ${stderr}`);
  const { perSecond, cpuUs } = JSON.parse(stdout) as { perSecond: number; cpuUs: number };
  return { wallMs: ((steps / perSecond) * 1000) / rounds, cpuMs: (steps * cpuUs) / 1000 / rounds };
}
