import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installed } from './installed.ts';
import { type Result, resultOf, writeResults } from './result.ts';
import { fill } from './scale/crowd.ts';
import { medianOf, type Timed, timed } from './timed.ts';

/**
 * How long flyd takes to start, beside Node with nothing to do: `npm run bench:start [runs]`. As installed
 * (built and laid out as npm does it) and from the checkout, over a database of 1,000 images and 100,000
 * blobs. The subjects take turns, so that what else the machine does meets all of them. Ends with 1 when a
 * target is missed.
 */
const root = fileURLToPath(new URL('..', import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const runs = Number(process.argv[2] ?? 15);
const folder = mkdtempSync(join(realpathSync(tmpdir()), 'flyd-bench-start-'));
const stateDir = join(folder, 'state');
const mountRoot = join(folder, 'mnt');

interface Subject {
  command: string;
  args: string[];
  /** How many times Node's own start it may take; null: said for the record. */
  target: number | null;
}

try {
  execFileSync(process.execPath, [join(root, 'scripts/build.ts')], {
    stdio: ['ignore', 2, 'inherit'],
  });
  const flyd = installed(root, folder);
  const place = ['--state-dir', stateDir, '--mount-root', mountRoot];
  timed(flyd, ['gc', ...place]);
  fill(stateDir, mountRoot, { images: 1_000, blobs: 100_000, endedRuns: 10_000, activations: 100 });
  const checkout = join(root, 'bin/flyd');
  const subjects: Record<string, Subject> = {
    'node -e 0': { command: process.execPath, args: ['-e', '0'], target: null },
    'flyd --help': { command: flyd, args: ['--help'], target: 2.5 },
    'flyd images': { command: flyd, args: ['images', ...place], target: 4 },
    'flyd activations': { command: flyd, args: ['activations', ...place], target: null },
    'flyd runs --live': { command: flyd, args: ['runs', '--live', ...place], target: null },
    'flyd resume': { command: flyd, args: ['resume', ...place], target: null },
    'checkout: flyd --help': { command: checkout, args: ['--help'], target: null },
    'checkout: flyd images': { command: checkout, args: ['images', ...place], target: null },
  };
  process.exitCode = report(subjects, measure(subjects)) ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function measure(subjects: Readonly<Record<string, Subject>>): Map<string, Timed[]> {
  const took = new Map<string, Timed[]>(Object.keys(subjects).map((name) => [name, []]));
  // The first round is not counted: it brings the files into memory.
  for (let round = 0; round <= runs; round++)
    for (const [name, { command, args }] of Object.entries(subjects)) {
      const one = timed(command, args);
      if (round > 0) took.get(name)?.push(one);
    }
  return took;
}

/** Prints and writes the figures; whether every target is met, by the medians, in CPU and in wall time. */
function report(subjects: Readonly<Record<string, Subject>>, took: ReadonlyMap<string, Timed[]>): boolean {
  const results: Result[] = [];
  const missed: string[] = [];
  for (const [unit, of] of [
    ['wall ms', ({ wallMs }: Timed) => wallMs],
    ['CPU ms', ({ cpuMs }: Timed) => cpuMs],
  ] as const) {
    const values = (name: string): number[] => (took.get(name) ?? []).map(of);
    const bare = medianOf(values('node -e 0'));
    for (const [name, { target }] of Object.entries(subjects)) {
      const subject = name.startsWith('node') ? 'node' : 'flyd';
      const shown = subject === 'node' ? process.version : version;
      results.push(resultOf({ case: name, subject, version: shown, unit }, values(name)));
      const times = medianOf(values(name)) / bare;
      results.push(
        resultOf(
          {
            case: `${name}: times node`,
            subject,
            version: shown,
            unit: unit === 'wall ms' ? 'x wall' : 'x CPU',
          },
          [times],
        ),
      );
      if (target !== null && times > target)
        missed.push(`${name}: ${times.toFixed(2)} times node -e 0 (${unit}), wanted ${target}`);
    }
  }
  writeResults(join(root, 'bench/out/start.json'), results);
  for (const line of missed) console.log(`missed: ${line}`);
  return missed.length === 0;
}
