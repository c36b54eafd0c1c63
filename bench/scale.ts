import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installed } from './installed.ts';
import { type Result, resultOf, writeResults } from './result.ts';
import { commandsOf, smallImage } from './scale/commands.ts';
import { type Crowd, fill } from './scale/crowd.ts';
import { compactHistories, type Histories } from './scale/histories.ts';
import { type Timed, timed } from './timed.ts';

/**
 * How flyd does with much of everything: `npm run bench:scale [runs]`. Ten thousand sleeping runs are taken
 * over by a new process; as many long histories are compacted; every command (scale/commands.ts says which are
 * left out, and why), as installed, is timed from its start to its end, over 1,000 images and 100,000 blobs.
 * Ends with 1 when a target is missed.
 */
const root = fileURLToPath(new URL('..', import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const repeats = Number(process.argv[2] ?? 5);
const sleeping = 10_000;
const crowd: Crowd = { images: 1_000, blobs: 100_000, endedRuns: 10_000, activations: 100 };
const long: Histories = { runs: 10_000, rows: 200, keep: 100 };
const targets = { wakeMs: 2_000, wakeMiB: 200, commandMs: 300 };

const folder = mkdtempSync(join(realpathSync(tmpdir()), 'flyd-bench-scale-'));
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

function measureCommands(): void {
  execFileSync(process.execPath, [join(root, 'scripts/build.ts')], { stdio: ['ignore', 2, 'inherit'] });
  const command = installed(root, folder);
  const flyd = (...args: string[]): Timed =>
    timed(command, [...args, '--state-dir', stateDir, '--mount-root', mountRoot], { PATH: process.env.PATH });
  flyd('gc');
  fill(stateDir, mountRoot, crowd);
  const pulled = smallImage(join(folder, 'small'));
  flyd('pull', pulled, '--no-activate', '--driver', 'copy');
  const took = new Map<string, Timed[]>();
  // The first round is not counted: it brings files into memory, and V8's compiled code beside the bundle.
  for (let round = 0; round <= repeats; round++)
    for (const [title, args] of Object.entries(commandsOf(round, { pulled, folder }))) {
      const one = flyd(...args);
      if (round > 0) took.set(title, [...(took.get(title) ?? []), one]);
    }
  for (const [title, values] of took) {
    const wall = values.map(({ wallMs }) => wallMs);
    record(title, 'ms', wall, targets.commandMs);
    const cpu = values.map(({ cpuMs }) => cpuMs);
    record(`${title}: CPU`, 'ms', cpu, Number.POSITIVE_INFINITY);
  }
}

try {
  for (const kind of ['waiting', 'parked'] as const) wake(kind);
  await compact();
  measureCommands();
  record('database', 'MiB', [statSync(join(stateDir, 'flyd.db')).size / 2 ** 20], Number.POSITIVE_INFINITY);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
writeResults(join(root, 'bench/out/scale.json'), results);
for (const miss of misses) console.log(`missed: ${miss}`);
process.exitCode = misses.length === 0 ? 0 : 1;
