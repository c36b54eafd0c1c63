import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { installed } from './installed.ts';
import { caseNames, subjectsOf } from './pull/cases.ts';
import { compare } from './pull/compare.ts';
import { shareCores } from './pull/cores.ts';
import { formsOf, otherForms } from './pull/forms.ts';
import { loopback, slowLine } from './pull/line.ts';
import { startServers } from './pull/servers.ts';
import { writeRatios, writeResults } from './result.ts';

/** Times a cold pull to an activated snapshot beside what one could use instead: `npm run bench:pull`. */
const usage = `usage: npm run bench:pull -- [option...]

  --case NAME       cold (default); zstd: with zstd layers beside; second: an image whose first two layers
                    are there; tenfold: memory for ten times the image
  --netem           over a line of 20 ms and 1 Gbit/s to a network namespace
  --cores N         measure on N cores, with the server on the others (default: 4, where two are left)
  --runs N          pulls of each subject (default 3)
  --only TEXT       only subjects whose name has this in it; several by comma
  --image DIR       what scripts/make-debian-image made (default: made now in bench/out/image; takes minutes)
  --containerd DIR  a folder with containerd and ctr of your own (default /usr/bin)
  --erofs-utils DIR a folder with mkfs.erofs of erofs-utils 1.7 or newer, for containerd's EROFS snapshotter
  --work DIR        where trees are made (default: bench/out); on the file system that counts

Needs root. Before each pull what is served and the programs are read into the page cache, which is empty
else. Each pull is synced within its time; then caches are dropped and the whole tree is read.
Newer peers than Debian 12's: scripts/from-unstable DIR containerd (then --containerd DIR/usr/bin), and
scripts/from-unstable --with-libraries DIR erofs-utils (then --erofs-utils DIR/run).`;

const { values } = parseArgs({
  options: {
    case: { type: 'string', default: 'cold' },
    netem: { type: 'boolean', default: false },
    cores: { type: 'string' },
    runs: { type: 'string', default: '3' },
    image: { type: 'string' },
    containerd: { type: 'string', default: '/usr/bin' },
    'erofs-utils': { type: 'string' },
    only: { type: 'string', default: '' },
    work: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const name = caseNames.find((one) => one === values.case);
const rounds = Number(values.runs);
if (values.help || name === undefined || !(rounds >= 1) || process.getuid?.() !== 0) {
  console.log(usage);
  process.exit(values.help ? 0 : 2);
}

const root = fileURLToPath(new URL('..', import.meta.url));
const out = join(root, 'bench/out');
mkdirSync(out, { recursive: true });
const image = values.image ?? makeImage(join(out, 'image'));
const forms = name === 'cold' ? formsOf(image) : otherForms(image, join(out, 'image-forms'));
const cores = shareCores(availableParallelism(), values.cores === undefined ? null : Number(values.cores));

console.log('building what is published ...');
execFileSync(process.execPath, [join(root, 'scripts/build.ts')], { cwd: root, stdio: 'ignore' });
const peers = ['containerd', 'ctr'].map((name) => join(values.containerd, name));
const natives = ['better-sqlite3', 'koffi'].map((name) => join(root, 'node_modules', name));
const line = values.netem ? await slowLine(20, 1e9) : loopback;
const work = mkdtempSync(join(values.work ?? out, 'pull-'));
try {
  const servers = await startServers({ root, forms, line, cores: cores.server });
  try {
    console.log(`${line.note}; ${cores.note}; ${servers.speeds}`);
    const { layersOf, layout } = forms;
    const flyd = installed(root, work);
    const programs = [process.execPath, dirname(dirname(flyd)), ...natives, ...peers, '/usr/bin/tar'];
    const warm = [forms.s3, layout, ...programs].filter((path) => existsSync(path));
    const places = { root, flyd, ...servers, layout, layersOf, cores: cores.subjects, warm };
    const peer = { folder: values.containerd, erofsUtils: values['erofs-utils'] ?? null };
    const all = subjectsOf(name, places, peer);
    for (const one of all) if (typeof one === 'string') console.log(`not compared with ${one}`);
    const wanted = values.only.split(',');
    const subjects = all
      .filter((one) => typeof one !== 'string')
      .filter((one) => !values.netem || one.fetches)
      .filter((one) => wanted.some((text) => one.name.includes(text)));
    const results = await compare(subjects, { rounds, work, line, warm });
    const suffixes = [
      name === 'cold' ? '' : `-${name}`,
      values.netem ? '-netem' : '',
      values.cores === undefined ? '' : `-${values.cores}-cores`,
    ];
    writeResults(join(out, `pull${suffixes.join('')}.json`), results);
    for (const title of ['pull', 'both']) writeRatios(results, title, 'containerd overlayfs');
  } finally {
    await servers.stop();
  }
} finally {
  await line.close();
  cleanUp();
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
  for (const mount of readFileSync('/proc/self/mountinfo', 'utf8').split('\n').reverse()) {
    const point = mount.split(' ')[4] ?? '';
    if (point.startsWith(`${work}/`)) spawnSync('umount', [point]);
  }
  execFileSync('rm', ['-rf', '--one-file-system', work]);
}
