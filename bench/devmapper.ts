import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { versionOf } from './pull/run.ts';
import { type Result, resultOf, writeRatios, writeResults } from './result.ts';

/** Counts what a pull into a thin pool makes the kernel do, flyd beside containerd: `npm run bench:devmapper`. */
const usage = `usage: npm run bench:devmapper -- --containerd DIR [--image DIR] [--family NAME]

  --containerd DIR  a folder with containerd and ctr
  --image DIR       what scripts/make-debian-image made; --small is enough (default: made now in bench/out/small)
  --family NAME     default golang

In a guest of scripts/vm, whose processor is emulated: so it counts and measures no time. Both pull the same
layers into a new pool with the same blocks, activate, and sync.`;

const { values } = parseArgs({
  options: {
    containerd: { type: 'string' },
    image: { type: 'string' },
    family: { type: 'string', default: 'golang' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help || values.containerd === undefined) {
  console.log(usage);
  process.exit(values.help ? 0 : 2);
}
const root = fileURLToPath(new URL('..', import.meta.url));
const out = join(root, 'bench/out');
const image = values.image ?? smallImage(join(out, 'small'));

const disks = ['--disk', '6G:data', '--disk', '128M:meta'];
const shares = ['--share', `${image}:image`, '--share', `${values.containerd}:containerd`];
const guest = ['--memory', '4G', '--timeout', '1500', ...disks, ...shares];
const inside = [
  'bench/devmapper/inside.sh',
  process.execPath,
  '/mnt/image',
  values.family,
  '/mnt/containerd',
];
const text = execFileSync(join(root, 'scripts/vm'), [...guest, '--', 'bash', ...inside], {
  cwd: root,
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'inherit'],
});

const versions: Record<string, string> = {
  flyd: versionOf(process.execPath, join(root, 'bin/flyd.js'), '--version') ?? 'unknown',
  containerd: versionOf(join(values.containerd, 'containerd'), '--version') ?? 'unknown',
};
const results: Result[] = text
  .trim()
  .split('\n')
  .map((line) => line.split(','))
  .map(([subject = '', what = '', count = '']) =>
    resultOf({ case: what, subject, version: versions[subject] ?? '', unit: '' }, [Number(count)]),
  );
mkdirSync(out, { recursive: true });
writeResults(join(out, 'devmapper.json'), results);
for (const title of new Set(results.map((result) => result.case))) writeRatios(results, title, 'containerd');

function smallImage(into: string): string {
  if (!existsSync(join(into, 'oci/index.json')))
    execFileSync(join(root, 'scripts/make-debian-image'), ['--small', into], { stdio: 'inherit' });
  return into;
}
