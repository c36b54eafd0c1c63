import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openWorkbench, type Workbench } from '#cli/compose';
import { openSession } from '#cli/session';
import type { DriverName } from '#core/image';
import { installed } from './installed.ts';
import { type Result, resultOf, writeResults } from './result.ts';
import { fill } from './scale/crowd.ts';

/** Times activations of an image that is there: `npm run bench:activate`. */
const usage = `usage: npm run bench:activate -- [--image DIR] [--drivers LIST] [--runs N] [--volumes N] [--work DIR]

  --image DIR     what scripts/make-debian-image made (default: bench/out/image)
  --drivers LIST  default erofs,overlay
  --runs N        activations one after the other (default 30)
  --volumes N     volumes that are there for the crowd (default 10000)
  --work DIR      where the state directory is made (default: bench/out)

Needs root. From a running engine, by a fresh process, and 64 at once while another image is pulled. Ends with 1
when a target is missed.`;

const { values } = parseArgs({
  options: {
    image: { type: 'string' },
    drivers: { type: 'string', default: 'erofs,overlay' },
    runs: { type: 'string', default: '30' },
    volumes: { type: 'string', default: '10000' },
    work: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const root = fileURLToPath(new URL('..', import.meta.url));
const out = join(root, 'bench/out');
const layout = join(values.image ?? join(out, 'image'), 'oci');
if (values.help || process.getuid?.() !== 0 || !existsSync(layout)) {
  console.log(usage);
  process.exit(values.help ? 0 : 2);
}

const atOnce = 64;
const targets = { warmMs: 30, freshMs: 30 + 150 };
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const results: Result[] = [];
const misses: string[] = [];
execFileSync(process.execPath, [join(root, 'scripts/build.ts')], { cwd: root, stdio: 'ignore' });

for (const driver of values.drivers.split(',') as DriverName[]) {
  mkdirSync(out, { recursive: true });
  const work = mkdtempSync(join(values.work ?? out, 'activate-'));
  try {
    await measure(driver, work);
  } finally {
    cleanUp(work);
  }
}
writeResults(join(out, 'activate.json'), results);
for (const miss of misses) console.log(`missed: ${miss}`);
process.exitCode = misses.length === 0 ? 0 : 1;

async function measure(driver: DriverName, work: string): Promise<void> {
  const [stateDir, mountRoot] = [join(work, 'state'), join(work, 'mnt')];
  const where = ['--state-dir', stateDir, '--mount-root', mountRoot];
  const flyd = installed(root, work);
  const run = (...args: string[]): string =>
    execFileSync(flyd, [...args, ...where], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const record = (title: string, list: readonly number[], target?: number): void => {
    const result = resultOf({ case: title, subject: `flyd ${driver}`, version, unit: 'ms' }, list);
    results.push(result);
    if (target !== undefined && result.median > target)
      misses.push(`${title}, ${driver}: ${result.median} ms, wanted ${target}`);
  };
  const pull = ['pull', `oci:${layout}:python`, '--driver', driver, '--no-activate', '--json'];
  const image = (JSON.parse(run(...pull)) as { image: { id: string } }).image.id;

  const fresh: number[] = [];
  for (let n = 0; n < 7; n++) {
    const started = performance.now();
    const text = run('activate', image, '--json');
    fresh.push(performance.now() - started);
    run('deactivate', idIn(text));
  }
  record('activate, fresh process', fresh, targets.freshMs);

  const bench = await openWorkbench(await openSession({ stateDir, mountRoot }));
  try {
    const one = oneOf(bench, image);
    const [up, down]: [number[], number[]] = [[], []];
    for (let n = 0; n < Number(values.runs); n++) {
      const made = await one.activate();
      up.push(made.ms);
      down.push((await one.deactivate(made.id)).ms);
    }
    record('activate, running engine', up, targets.warmMs);
    record('deactivate, running engine', down);
  } finally {
    await bench.close();
  }

  const volumes = Number(values.volumes);
  const crowd = { images: volumes, blobs: volumes, endedRuns: volumes, activations: 0 };
  fill(stateDir, mountRoot, { ...crowd, driver });
  const crowded = await openWorkbench(await openSession({ stateDir, mountRoot }));
  const pulling = spawn(flyd, ['pull', `oci:${layout}:golang`, '--driver', driver, ...where], {
    stdio: 'ignore',
  });
  const pulled = new Promise<number | null>((done) => pulling.once('exit', done));
  try {
    await new Promise((done) => setTimeout(done, 500)); // until it is under way
    const one = oneOf(crowded, image);
    const begun = performance.now();
    const made = await Promise.all(Array.from({ length: atOnce }, () => one.activate()));
    const gone = await Promise.all(made.map(({ id }) => one.deactivate(id)));
    const isBusy = pulling.exitCode === null;
    console.log(
      `${driver}: ${atOnce} activations and deactivations in ${Math.round(performance.now() - begun)} ms; the pull beside them ${isBusy ? 'went on for longer' : 'had ended by then'}`,
    );
    for (const [title, list] of [
      [`activate, ${atOnce} at once`, made],
      [`deactivate, ${atOnce} at once`, gone],
    ] as const) {
      const ms = list.map((each) => each.ms);
      record(`${title}, p50`, [percentile(ms, 0.5)]);
      record(`${title}, p99`, [percentile(ms, 0.99)]);
    }
    if ((await pulled) !== 0) throw new Error('the pull beside the activations failed');
  } finally {
    await pulled;
    await crowded.close();
  }
}

function oneOf({ engine, machines }: Workbench, image: string) {
  const options = {
    ...{ name: null, sizeBytes: null, readOnly: false, suid: false, dev: false },
    ...{ owner: null, attach: 'mount' as const, ephemeral: false },
  };
  const timed = async (start: () => Promise<{ id: string }>): Promise<{ ms: number; output: unknown }> => {
    const begun = performance.now();
    const { id } = await start();
    const { status, output, error } = await engine.wait(id);
    if (status !== 'done') throw new Error(`a run ended as ${status}: ${error?.message}`);
    return { ms: performance.now() - begun, output };
  };
  return {
    async activate(): Promise<{ id: string; ms: number }> {
      const { ms, output } = await timed(() =>
        engine.start(machines.activate, { input: { image, options } }),
      );
      return { id: (output as { id: string }).id, ms };
    },
    deactivate: (id: string) =>
      timed(() => engine.start(machines.deactivate, { input: { id, force: false } })),
  };
}

function idIn(text: string): string {
  return /act-[0-9a-f]{16}/.exec(text)?.[0] ?? '';
}

function percentile(list: readonly number[], part: number): number {
  const sorted = list.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(part * sorted.length) - 1)] ?? Number.NaN;
}

function cleanUp(work: string): void {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n').reverse()) {
    const point = line.split(' ')[4] ?? '';
    if (point.startsWith(`${work}/`)) spawnSync('umount', [point]);
  }
  execFileSync('rm', ['-rf', '--one-file-system', work]);
}
