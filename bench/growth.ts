import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Axis, axesOf, type Curve } from './growth/axes.ts';
import { type Panel, type Series, writePlot } from './growth/plot.ts';
import { installed } from './installed.ts';
import { serve } from './pull/run.ts';
import { type Result, resultOf, writeResults } from './result.ts';
import { medianOf, type Timed } from './timed.ts';

/** How cost grows with size: `npm run bench:growth`. */
const usage = `usage: npm run bench:growth -- [--only NAME,NAME] [--largest SIZE] [--runs N] [--work DIR]

  --only NAME     only these of: entries, bytes, layers, images, pulls, runs
  --largest SIZE  no larger sizes than this
  --runs N        measurements of each (default 3; one of what takes longer than ten seconds)
  --work DIR      where everything is made (default: the folder of temporary files); on the disk that counts

Draws bench/out/growth.svg. Pulls are by the installed command from \`flyd s3 serve\` on loopback, whose time is
not counted. As root with the drivers erofs and overlay, else with copy. Ends with 1 when something grows faster
than its size: more than 1.15 as the power of the last step, in CPU time.`;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    largest: { type: 'string', default: 'Infinity' },
    runs: { type: 'string', default: '3' },
    work: { type: 'string', default: realpathSync(tmpdir()) },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}

const root = fileURLToPath(new URL('..', import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const [largest, runs] = [Number(values.largest), Number(values.runs)];
const longMs = 10_000;
const cpuOf = ({ cpuMs }: Timed): number => cpuMs;
const kinds = [
  ['wall ms', ({ wallMs }: Timed) => wallMs],
  ['CPU ms', cpuOf],
] as const;
const powerMax = 1.15;

const folder = mkdtempSync(join(values.work, 'flyd-bench-growth-'));
const served = join(folder, 'served');
mkdirSync(join(served, 'images'), { recursive: true });
execFileSync(process.execPath, [join(root, 'scripts/build.ts')], { stdio: ['ignore', 2, 'inherit'] });
const flyd = installed(root, folder);
const s3 = await serve(flyd, ['s3', 'serve', served, '--port', '0']);
const results: Result[] = [];
const panels: Panel[] = [];
const verdicts: string[] = [];
try {
  const endpoint = /http:\/\/\S+/.exec(s3.line)?.[0] ?? '';
  const isRoot = process.getuid?.() === 0;
  for (const axis of axesOf({ root, folder, flyd, served, endpoint, isRoot })) {
    const wanted = values.only?.split(',').includes(axis.name) ?? true;
    if (wanted) panels.push({ title: axis.title, unit: axis.unit, series: await grow(axis) });
  }
} finally {
  await s3.stop();
  rmSync(folder, { recursive: true, force: true });
}
writeResults(join(root, 'bench/out/growth.json'), results);
writePlot(join(root, 'bench/out/growth.svg'), panels);
console.log(`drawn: ${join(root, 'bench/out/growth.svg')}`);
for (const verdict of verdicts) console.log(verdict);
process.exitCode = verdicts.some((verdict) => verdict.startsWith('faster')) ? 1 : 0;

/** Measures all curves of an axis, smallest size first. */
async function grow(axis: Axis): Promise<Series[]> {
  const series: Series[] = [];
  for (const curve of axis.curves) {
    const took: { size: number; times: Timed[] }[] = [];
    for (const size of axis.sizes.filter((each) => each <= largest)) {
      await curve.prepare?.(size);
      const times = repeated(curve, size);
      took.push({ size, times });
      for (const [unit, of] of kinds)
        results.push(
          resultOf(
            { case: `${curve.name}: ${size} ${axis.unit}`, subject: 'flyd', version, unit },
            times.map(of),
          ),
        );
      console.log(
        `${axis.name}: ${curve.name}, ${size} ${axis.unit}: ${medianOf(times.map(cpuOf)).toFixed(0)} ms of CPU`,
      );
    }
    for (const [unit, of] of kinds)
      series.push({
        name: `${curve.name}, ${unit}`,
        points: took.map(({ size, times }) => ({ size, cost: Math.max(1, medianOf(times.map(of))) })),
      });
    judge(axis, curve, took);
  }
  return series;
}

function repeated(curve: Curve, size: number): Timed[] {
  const times: Timed[] = [];
  while (times.length < runs && times.reduce((sum, { wallMs }) => sum + wallMs, 0) < longMs)
    times.push(curve.measure(size));
  return times;
}

/** The power of size with which cost grew over the last step: 1 is in proportion. */
function judge(axis: Axis, curve: Curve, took: readonly { size: number; times: Timed[] }[]): void {
  const [before, last] = took.slice(-2);
  if (before === undefined || last === undefined) return;
  const grown = medianOf(last.times.map(cpuOf)) / medianOf(before.times.map(cpuOf));
  const power = Math.log(grown) / Math.log(last.size / before.size);
  verdicts.push(
    `${power > powerMax ? 'faster than its size' : 'linear or better'}: ${curve.name}, from ${before.size} to ${last.size} ${axis.unit}: power ${power.toFixed(2)}`,
  );
}
