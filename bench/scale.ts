import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Result, resultOf, writeResults } from './result.ts';
import { type Crowd, fill } from './scale/crowd.ts';
import { compactHistories, type Histories } from './scale/histories.ts';

/**
 * How flyd does with much of everything: `npm run bench:scale [runs]`. Ten thousand sleeping runs are taken
 * over by a new process; as many long histories are compacted; every command is timed, from its start to its end, over 1,000 images and 100,000
 * blobs. Ends with 1 when a target is missed.
 */
const root = fileURLToPath(new URL('..', import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const repeats = Number(process.argv[2] ?? 5);
const sleeping = 10_000;
const crowd: Crowd = { images: 1_000, blobs: 100_000, endedRuns: 10_000, activations: 100 };
const long: Histories = { runs: 10_000, rows: 200, keep: 100 };
const targets = { wakeMs: 2_000, wakeMiB: 200, commandMs: 300 };

const folder = mkdtempSync(join(tmpdir(), 'flyd-bench-scale-'));
const results: Result[] = [];
const misses: string[] = [];

function record(title: string, unit: string, values: readonly number[], target: number): void {
  const result = resultOf({ case: title, subject: 'flyd', version, unit }, values);
  results.push(result);
  if (result.median > target) misses.push(`${title}: ${result.median} ${unit}, wanted ${target}`);
}

function wake(kind: 'waiting' | 'parked'): void {
  const path = join(folder, `${kind}.db`);
  const sleepers = (act: string): string =>
    execFileSync(
      process.execPath,
      [join(root, 'bench/scale/sleepers.ts'), act, path, kind, String(sleeping)],
      {
        encoding: 'utf8',
      },
    );
  sleepers('make');
  const took = Array.from(
    { length: repeats },
    () => JSON.parse(sleepers('wake')) as { ms: number; grownMiB: number },
  );
  record(
    `${sleeping} ${kind} runs: time`,
    'ms',
    took.map(({ ms }) => ms),
    targets.wakeMs,
  );
  record(
    `${sleeping} ${kind} runs: memory`,
    'MiB',
    took.map(({ grownMiB }) => grownMiB),
    targets.wakeMiB,
  );
}

async function compact(): Promise<void> {
  const { runs, rows, keep } = long;
  const { ms, cpuMs, before, after, copy } = await compactHistories(join(folder, 'long.db'), long);
  const title = `${runs} histories of ${rows} rows cut to ${keep}`;
  const any = Number.POSITIVE_INFINITY;
  record(`${title}: time`, 'ms', [ms], any);
  record(`${title}: CPU`, 'ms', [cpuMs], any);
  record(`${title}: in use before`, 'MiB', [before], any);
  record(`${title}: in use after`, 'MiB', [after], 0.75 * before);
  record(`${title}: copy of it`, 'MiB', [copy], any);
}

const stateDir = join(folder, 'state');
const mountRoot = join(folder, 'mnt');

/** Runs the command as a person would; gives how long it took. Milliseconds. */
function flyd(...args: string[]): number {
  const started = performance.now();
  const all = [join(root, 'bin/flyd.js'), ...args, '--state-dir', stateDir, '--mount-root', mountRoot];
  const { status, stderr } = spawnSync(process.execPath, all, {
    maxBuffer: 2 ** 30,
    env: { PATH: process.env.PATH },
  });
  if (status !== 0) throw new Error(`flyd ${args.join(' ')} ended with ${status}: ${stderr}`);
  return performance.now() - started;
}

const image = `img-${(500).toString(16).padStart(16, '0')}`;
const commands: Readonly<Record<string, readonly string[]>> = {
  images: ['images'],
  'images --json': ['images', '--json'],
  'images show': ['images', 'show', image],
  blobs: ['blobs'],
  activations: ['activations'],
  runs: ['runs'],
  'runs --live': ['runs', '--live'],
  'runs show': ['runs', 'show', 'BENCH-77'],
  'runs events': ['runs', 'events', 'BENCH-77'],
  pin: ['pin', image],
  activate: ['activate', image, '--name', 'bench'],
  deactivate: ['deactivate', 'bench'],
  'rm of an image': ['rm'],
  'gc with nothing to do': ['gc'],
  resume: ['resume'],
  doctor: ['doctor'],
  'doctor --verify': ['doctor', '--verify'],
};

try {
  for (const kind of ['waiting', 'parked'] as const) wake(kind);
  await compact();
  flyd('gc');
  fill(stateDir, mountRoot, crowd);
  const took = new Map<string, number[]>(Object.keys(commands).map((title) => [title, []]));
  for (let n = 0; n < repeats; n++)
    for (const [title, args] of Object.entries(commands)) {
      const more =
        args[0] === 'rm' && args.length === 1 ? [`img-${(900 + n).toString(16).padStart(16, '0')}`] : [];
      took.get(title)?.push(flyd(...args, ...more));
    }
  for (const [title, values] of took) record(title, 'ms', values, targets.commandMs);
  record('database', 'MiB', [statSync(join(stateDir, 'flyd.db')).size / 2 ** 20], Number.POSITIVE_INFINITY);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
writeResults(join(root, 'bench/out/scale.json'), results);
for (const miss of misses) console.log(`missed: ${miss}`);
process.exitCode = misses.length === 0 ? 0 : 1;
