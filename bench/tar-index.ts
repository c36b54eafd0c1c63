import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { defaultLimits } from '#core/limits';
import { applyToImage } from '#infra/erofs/apply';
import { BlockReader, type ByteSource } from '#infra/layer/source';
import { MS_NODEV, MS_NOSUID, MS_RDONLY, mount } from '#infra/sys';
import { formsOf } from './pull/forms.ts';
import { dropCaches, timed, versionOf } from './pull/run.ts';
import { type Result, resultOf, writeRatios, writeResults } from './result.ts';

/** flyd's EROFS images beside an index over the raw archive: `npm run bench:tar-index`. */
const usage = `usage: npm run bench:tar-index -- --erofs-utils DIR [--image DIR] [--runs N] [--work DIR]

  --erofs-utils DIR  a folder with mkfs.erofs of erofs-utils 1.8 or newer:
                     scripts/from-unstable --with-libraries OUT erofs-utils, then OUT/run
  --image DIR        what scripts/make-debian-image made (default: bench/out/image)
  --runs N           default 3

From the inflated layers, one after the other, to what can be mounted and is on the disk; then caches are dropped
and all files read. Needs root.`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    image: { type: 'string' },
    'erofs-utils': { type: 'string' },
    runs: { type: 'string', default: '3' },
    work: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const script = fileURLToPath(import.meta.url);
const out = fileURLToPath(new URL('out', import.meta.url));
const [role, target = '', ...archives] = positionals;
if (role === 'image' || role === 'copy') {
  for (const raw of archives) (role === 'image' ? makeImage : copy)(raw, join(target, basename(raw)));
} else if (values.help || values['erofs-utils'] === undefined || process.getuid?.() !== 0) {
  console.log(usage);
  process.exitCode = values.help ? 0 : 2;
} else compare(values['erofs-utils']);

function makeImage(raw: string, path: string): void {
  applyToImage(new BlockReader(sourceOf(raw)), { form: 'image', path, lowers: [] }, defaultLimits);
}

/** What keeping a raw archive costs. */
function copy(raw: string, path: string): void {
  const source = sourceOf(raw);
  const fd = fs.openSync(path, 'wx');
  for (let piece = source.take(2 ** 20); piece.length > 0; piece = source.take(2 ** 20))
    fs.writeSync(fd, piece);
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

function sourceOf(path: string): ByteSource {
  const fd = fs.openSync(path, 'r');
  const buffer = Buffer.alloc(2 ** 20);
  let left: Buffer = Buffer.alloc(0);
  return {
    take(max) {
      if (left.length === 0) left = buffer.subarray(0, fs.readSync(fd, buffer));
      const piece = left.subarray(0, max);
      left = left.subarray(piece.length);
      return piece;
    },
  };
}

function compare(utils: string): void {
  fs.mkdirSync(out, { recursive: true });
  const work = fs.mkdtempSync(join(values.work ?? out, 'tar-index-'));
  const mkfs = join(utils, 'mkfs.erofs');
  const version = versionOf(mkfs, '-V') ?? 'unknown';
  try {
    const raws = formsOf(values.image ?? join(out, 'image'))
      .layersOf('golang')
      .map((layer) => {
        const raw = join(work, basename(layer, '.gz'));
        execFileSync('bash', ['-ec', `gzip -dc ${layer} > ${raw}`]);
        return raw;
      });
    const node = `${process.execPath} ${script}`;
    const index = (dir: string): string =>
      raws
        .map((raw) => `${mkfs} --quiet --tar=i ${dir}/${basename(raw)}.index ${dir}/${basename(raw)}`)
        .join('\n');
    const ways = [
      {
        subject: 'flyd image',
        version: '',
        script: (dir: string) => `${node} image ${dir} ${raws.join(' ')}`,
      },
      {
        subject: 'raw tar and index',
        version,
        script: (dir: string) => `${node} copy ${dir} ${raws.join(' ')}\n${index(dir)}`,
      },
    ];
    const results = new Map<
      string,
      { way: (typeof ways)[number]; title: string; unit: string; list: number[] }
    >();
    const note = (way: (typeof ways)[number], title: string, unit: string, value: number): void => {
      const key = `${title} ${way.subject}`;
      const known = results.get(key) ?? { way, title, unit, list: [] };
      known.list.push(value);
      results.set(key, known);
    };
    for (let round = 0; round < Number(values.runs); round++)
      for (const way of ways) {
        const dir = join(work, `${round}-${way.subject.replaceAll(' ', '-')}`);
        fs.mkdirSync(dir);
        dropCaches();
        for (const raw of raws) timed(`cat ${raw} > /dev/null`); // fetched and inflated, they would be in memory
        const made = timed(`${way.script(dir)}\nsync --file-system ${dir}`);
        note(way, 'make', 's', made.seconds);
        note(way, 'CPU', 's', made.cpuSeconds);
        note(
          way,
          'on the disk',
          'MiB',
          Number(execFileSync('du', ['-sk', dir], { encoding: 'utf8' }).split('\t')[0]) / 1024,
        );
        for (const raw of raws) mountLayer(dir, basename(raw));
        dropCaches();
        const read = timed(`for tree in ${dir}/mnt-*; do tar -C "$tree" -cf - . | cat > /dev/null; done`);
        note(way, 'read all', 's', read.seconds);
      }
    const list: Result[] = [...results.values()].map(({ way, title, unit, list }) =>
      resultOf({ case: title, subject: way.subject, version: way.version, unit }, list),
    );
    writeResults(join(out, 'tar-index.json'), list);
    for (const title of ['make', 'CPU', 'on the disk', 'read all']) writeRatios(list, title, 'flyd image');
  } finally {
    for (const line of fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n').reverse()) {
      const point = line.split(' ')[4] ?? '';
      if (point.startsWith(`${work}/`)) spawnSync('umount', [point]);
    }
    fs.rmSync(work, { recursive: true });
  }
}

/** Without a loop device: mount(8) would insist on one, and then fail. */
function mountLayer(dir: string, name: string): void {
  const at = join(dir, `mnt-${name}`);
  fs.mkdirSync(at);
  const index = join(dir, `${name}.index`);
  const flags = MS_RDONLY | MS_NODEV | MS_NOSUID;
  if (fs.existsSync(index)) mount(index, at, 'erofs', flags, `device=${join(dir, name)}`);
  else mount(join(dir, name), at, 'erofs', flags, null);
}
