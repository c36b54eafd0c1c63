import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ownDisk } from './neighbour/disk.ts';
import type { Waits } from './neighbour/neighbour.ts';
import { serve, timed } from './pull/run.ts';
import { type Result, resultOf, writeResults } from './result.ts';

/** What somebody else on the file system feels of a pull: `npm run bench:neighbour`. */
const usage = `usage: npm run bench:neighbour -- --image DIR [--runs N] [--dirty MIB] [--only TEXT] [--work DIR]

  --image DIR   what scripts/make-debian-image made
  --runs N      pulls of each (default 3)
  --dirty MIB   what the neighbour has written and not synced (default 2048)
  --only TEXT   only what has this in its name
  --work DIR    where the file of the file system is made (default: bench/out)

Needs root: an ext4 of its own is made in a file and mounted. The neighbour has written --dirty to it, unsynced, then
appends 4 KiB and fsyncs, 5 ms apart. Meanwhile an image is pulled by each driver; and the same files are made by tar and
synced by one syncfs, by an fsync of each file and folder, or not at all.`;

const { values } = parseArgs({
  options: {
    image: { type: 'string' },
    runs: { type: 'string', default: '3' },
    dirty: { type: 'string', default: '2048' },
    only: { type: 'string', default: '' },
    work: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help || values.image === undefined || process.getuid?.() !== 0) {
  console.log(usage);
  process.exit(values.help ? 0 : 2);
}

// In a mount namespace of its own: a killed bench leaves no mount behind, and nobody else keeps one of it.
if (process.env.BENCH_NEIGHBOUR_INSIDE === undefined) {
  const { status } = spawnSync('unshare', ['--mount', process.execPath, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, BENCH_NEIGHBOUR_INSIDE: '1' },
  });
  process.exit(status ?? 1);
}

const root = fileURLToPath(new URL('..', import.meta.url));
const out = join(root, 'bench/out');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const layersIn = join(values.image, 's3/images/golang');
const layers = readdirSync(layersIn)
  .filter((name) => name.endsWith('.gz'))
  .sort();

/** Something that writes a tree while the neighbour works; a shell script, run in an empty folder of its own. */
interface Subject {
  name: string;
  version: string;
  script(folder: string): string;
}

const unpack = (folder: string): string =>
  layers
    .map((name, n) => `mkdir ${folder}/${n}; gzip -dc ${join(layersIn, name)} | tar x -C ${folder}/${n} &`)
    .join('\n');

function subjects(endpoint: string): Subject[] {
  const flyd = `${process.execPath} ${join(root, 'dist/bundle/main.js')}`;
  const files = (name: string, sync: (folder: string) => string): Subject => ({
    name: `tar, ${name}`,
    version: 'GNU',
    script: (folder) => `${unpack(folder)}\nwait\n${sync(folder)}`,
  });
  return [
    { name: 'nobody', version: '', script: () => 'sleep 5' },
    ...['erofs', 'overlay', 'copy'].map((driver) => ({
      name: `flyd ${driver}`,
      version,
      script: (folder: string) =>
        `${flyd} pull golang --source s3://images --endpoint ${endpoint} --anonymous --driver ${driver} --state-dir ${folder}/state --mount-root ${folder}/mnt > /dev/null`,
    })),
    files('not synced', () => 'true'),
    files('one syncfs', (folder) => `sync --file-system ${folder}`),
    files(
      'fsync of each',
      (folder) => `find ${folder} \\( -type f -o -type d \\) -print0 | xargs -0 -P 4 -n 1000 sync`,
    ),
  ].filter(({ name }) => name.includes(values.only));
}

/** The neighbour while the script runs; gives how both did. */
async function together(
  script: string,
  folder: string,
  theirs: string,
): Promise<{ seconds: number; waits: Waits }> {
  const program = join(root, 'bench/neighbour/neighbour.ts');
  const child = spawn(process.execPath, [program, theirs, values.dirty], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { value } = await lines.next();
    if (typeof value !== 'string') throw new Error('the neighbour has ended');
    return value;
  };
  const ask = async (): Promise<Waits> => {
    child.stdin.write('\n');
    return JSON.parse(await next()) as Waits;
  };
  try {
    await next();
    await ask();
    const { seconds } = await inBackground(script, folder);
    return { seconds, waits: await ask() };
  } finally {
    child.stdin.end();
    await new Promise((done) => child.once('exit', done));
  }
}

/** The script runs beside this process, which must go on hearing the neighbour. */
async function inBackground(script: string, folder: string): Promise<{ seconds: number }> {
  const from = performance.now();
  const child = spawn('bash', ['-ec', script], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  const code = await new Promise((done) => child.once('exit', done));
  if (code !== 0) throw new Error(`${script}\nended with ${String(code)}`);
  return { seconds: (performance.now() - from) / 1000 };
}

mkdirSync(out, { recursive: true });
execFileSync(process.execPath, [join(root, 'scripts/build.ts')], { cwd: root, stdio: 'ignore' });
const work = mkdtempSync(join(values.work ?? out, 'neighbour-'));
const cli = join(root, 'dist/bundle/main.js');
const s3 = await serve(process.execPath, [cli, 's3', 'serve', join(values.image, 's3'), '--port', '0']);
const disk = ownDisk(work, 10);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.once('exit', () => rmSync(work, { recursive: true, force: true }));
const measured = new Map<Subject, { seconds: number; waits: Waits }[]>();
try {
  // The blocks of the file are written once, unmeasured.
  disk.fresh();
  timed(`dd if=/dev/zero of=${disk.point}/all bs=1M 2> /dev/null || true; sync --file-system ${disk.point}`);
  console.log(`Linux ${release()}, ext4; the neighbour has ${values.dirty} MiB unsynced`);
  const all = subjects(/http:\/\/\S+/.exec(s3.line)?.[0] ?? '');
  for (let round = 1; round <= Number(values.runs); round++)
    for (const subject of all) {
      disk.fresh();
      const [folder, theirs] = [join(disk.point, 'pull'), join(disk.point, 'theirs')];
      for (const one of [folder, theirs]) mkdirSync(one);
      const figures = await together(subject.script(folder), folder, theirs);
      measured.set(subject, [...(measured.get(subject) ?? []), figures]);
      const { count, p50, p99, max, stalled } = figures.waits;
      console.log(
        `round ${round}: ${subject.name} ${figures.seconds.toFixed(1)} s; ${count} fsyncs, p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(0)}, longest ${max.toFixed(0)} ms; over 0.1 s ${(stalled / 1000).toFixed(1)} s in all`,
      );
      await sleep(200);
    }
} finally {
  await s3.stop();
}
const results: Result[] = [];
for (const [{ name: subject, version }, list] of measured) {
  const note = (title: string, unit: string, value: (figures: (typeof list)[number]) => number): void =>
    void results.push(resultOf({ case: title, subject, version, unit }, list.map(value)));
  note('time', 's', ({ seconds }) => seconds);
  note("neighbour's fsync, p50", 'ms', ({ waits }) => waits.p50);
  note("neighbour's fsync, p99", 'ms', ({ waits }) => waits.p99);
  note("neighbour's fsync, longest", 'ms', ({ waits }) => waits.max);
  note('waits over 0.1 s, in all', 's', ({ waits }) => waits.stalled / 1000);
}
writeResults(join(out, 'neighbour.json'), results);
