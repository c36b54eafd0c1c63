import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { containerdSubject } from './pull/containerd.ts';
import { dropCaches, serve, timed } from './pull/run.ts';
import { floorSubjects, flydSubject, type Places, type Subject, umociSubject } from './pull/subjects.ts';
import { type Result, resultOf, writeResults } from './result.ts';

/** Times a cold pull to an activated snapshot beside what one could use instead: `npm run bench:pull`. */
const usage = `usage: npm run bench:pull -- [--runs N] [--image DIR] [--containerd DIR] [--only TEXT] [--work DIR]

  --runs N          pulls of each subject (default 3)
  --image DIR       what scripts/make-debian-image made (default: made now in bench/out/image; takes minutes)
  --containerd DIR  a folder with containerd and ctr of your own
  --only TEXT       only subjects whose name has this in it
  --work DIR        where trees are made (default: bench/out); on the file system that counts

Needs root. Each pull is synced within its time; then caches are dropped and the whole tree is read.`;

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    image: { type: 'string' },
    containerd: { type: 'string' },
    only: { type: 'string', default: '' },
    work: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help || process.getuid?.() !== 0) {
  console.log(usage);
  process.exit(values.help ? 0 : 2);
}

const root = fileURLToPath(new URL('..', import.meta.url));
const out = join(root, 'bench/out');
mkdirSync(out, { recursive: true });
const image = values.image ?? makeImage(join(out, 'image'));
const family = 'golang';
const folder = join(image, 's3/images', family);
const layers = readdirSync(folder)
  .sort()
  .map((name) => join(folder, name));
const layout = join(image, 'oci');

console.log('building what is published ...');
execFileSync(process.execPath, [join(root, 'scripts/build.ts')], { cwd: root, stdio: 'ignore' });
const s3 = await serve(process.execPath, [
  join(root, 'dist/bundle/main.js'),
  's3',
  'serve',
  join(image, 's3'),
  '--port',
  '0',
]);
const registry = await serve(process.execPath, [join(root, 'bench/pull/registry.ts'), layout]);
const endpoint = /http:\/\/\S+/.exec(s3.line)?.[0] ?? '';
const places: Places = { root, endpoint, family, layers, layout };
const work = mkdtempSync(join(values.work ?? out, 'pull-'));
try {
  await compare(subjects());
} finally {
  await s3.stop();
  await registry.stop();
  cleanUp();
}

function subjects(): Subject[] {
  const name = `127.0.0.1:${registry.line}/bench/${family}:${family}`;
  const peers = [1, 4].map(
    (unpacks) =>
      containerdSubject(values.containerd ?? '/usr/bin', name, unpacks) ??
      'containerd: absent (give --containerd DIR with containerd and ctr)',
  );
  const all: (Subject | string)[] = [
    ...['erofs', 'overlay', 'copy'].map((driver) => flydSubject(places, driver)),
    ...new Set(peers),
    umociSubject(places, 'umoci') ?? 'umoci: absent (apt-get install umoci)',
    ...floorSubjects(places),
  ];
  for (const one of all) if (typeof one === 'string') console.log(`not compared with ${one}`);
  return all.filter((one) => typeof one !== 'string').filter((one) => one.name.includes(values.only));
}

/** Round after round, so that what else the machine does hits all alike. */
async function compare(subjects: Subject[]): Promise<void> {
  const bytes = layers.reduce((sum, layer) => sum + readFileSync(layer).length, 0);
  console.log(`${layers.length} layers, ${Math.round(bytes / 1e6)} MB, ${availableParallelism()} cores`);
  const values = new Map<string, { subject: Subject; unit: string; list: number[]; title: string }>();
  const note = (subject: Subject, title: string, unit: string, value: number | null): void => {
    if (value === null) return;
    const key = `${title} ${subject.name}`;
    const known = values.get(key) ?? { subject, unit, title, list: [] };
    known.list.push(value);
    values.set(key, known);
  };
  for (let round = 1; round <= runs(); round++)
    for (const subject of subjects) {
      const place = join(work, `${round}-${subject.name.replace(/\W+/g, '-')}`);
      mkdirSync(place);
      dropCaches();
      const pulled = await subject.pull(place);
      dropCaches();
      const read = timed(`tar -C ${pulled.tree} --one-file-system -cf - . | cat > /dev/null`);
      note(subject, 'pull', 's', pulled.seconds);
      note(subject, 'read all', 's', read.seconds);
      note(subject, 'both', 's', pulled.seconds + read.seconds);
      note(subject, 'CPU', 's', pulled.cpuSeconds);
      note(subject, 'peak memory', 'MiB', pulled.peakMiB);
      console.log(
        `round ${round}: ${subject.name} ${pulled.seconds} s, read ${read.seconds} s (${pulled.note})`,
      );
    }
  const results: Result[] = [...values.values()].map(({ subject, title, unit, list }) =>
    resultOf({ case: title, subject: subject.name, version: subject.version, unit }, list),
  );
  writeResults(join(out, 'pull.json'), results);
}

function runs(): number {
  const count = Number(values.runs);
  if (!Number.isInteger(count) || count < 1) throw new Error(`--runs: not a number of runs: ${values.runs}`);
  return count;
}

function makeImage(into: string): string {
  if (!existsSync(join(into, 'oci/index.json'))) {
    console.log('making a real image of Debian packages ...');
    execFileSync(join(root, 'scripts/make-debian-image'), [into], { stdio: 'inherit' });
  }
  return into;
}

/** Trees are removed last: ext4 is slow to make files where others were just removed. */
function cleanUp(): void {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n').reverse()) {
    const point = line.split(' ')[4] ?? '';
    if (point.startsWith(`${work}/`)) spawnSync('umount', [point]);
  }
  execFileSync('rm', ['-rf', '--one-file-system', work]);
}
