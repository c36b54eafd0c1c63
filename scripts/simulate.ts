import { type ChildProcess, fork } from 'node:child_process';
import { rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { memoryFolder, type SimulationReport, simulate, type Workload } from '#engine/testing/index';
import { workloads } from '../test/engine/workloads/index.ts';

/**
 * Simulates the engine under many seeds: `node bin/run.js scripts/simulate.ts --seeds 10000 --from 0`.
 * A seed that fails is printed with its trace and the command that replays it; then the exit code is 1.
 */
const usage = `usage: node bin/run.js scripts/simulate.ts [--seeds N] [--from S] [--workload ${workloads.map(({ name }) => name).join('|')}] [--processes P] [--trace]`;

interface Work {
  from: number;
  seeds: number;
  workload: string | null;
}

/** What a worker tells: how far it is, and each seed that failed. */
interface News {
  done: number;
  failed: { seed: number; workload: string; message: string; trace: string[] }[];
}

const traceLinesMax = 120;
const newsEvery = 20;

function workloadOf(seed: number, name: string | null): Workload {
  const list = name === null ? workloads : workloads.filter((workload) => workload.name === name);
  const workload = list[seed % list.length];
  if (workload === undefined) throw new RangeError(`no workload is named '${name}'\n${usage}`);
  return workload;
}

const command = ({ seed, workload }: { seed: number; workload: string }): string =>
  `node bin/run.js scripts/simulate.ts --from ${seed} --seeds 1 --workload ${workload} --trace`;

const messageOf = (failure: Error): string => failure.stack ?? String(failure);

async function runSeeds(
  { from, seeds, workload }: Work,
  tell: (done: number, failed: SimulationReport[]) => void,
): Promise<void> {
  const folder = memoryFolder();
  process.on('SIGTERM', () => process.exit(143));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  let failed: SimulationReport[] = [];
  for (let nth = 1; nth <= seeds; nth++) {
    const seed = from + nth - 1;
    const report = await simulate(workloadOf(seed, workload), { seed, folder });
    if (report.failure !== null) failed.push(report);
    if (nth % newsEvery !== 0 && nth !== seeds) continue;
    tell(nth, failed);
    failed = [];
  }
}

/** The part of one of several processes: gets its work as JSON, and sends its news. */
async function work(given: string): Promise<void> {
  await runSeeds(JSON.parse(given) as Work, (done, failed) =>
    process.send?.({
      done,
      failed: failed.map(({ seed, workload, failure, trace }) => ({
        seed,
        workload,
        message: messageOf(failure as Error),
        trace: trace.slice(-traceLinesMax),
      })),
    } satisfies News),
  );
  process.disconnect?.();
}

function printFailure({ seed, workload, message, trace }: News['failed'][number]): void {
  console.log(`\nseed ${seed} (${workload}) fails; its last steps:`);
  for (const line of trace) console.log(`  ${line}`);
  console.log(message);
  console.log(`replay: ${command({ seed, workload })}`);
}

async function runMany({ from, seeds, workload }: Work, processes: number): Promise<number> {
  const startedAt = performance.now();
  const progress: number[] = [];
  const failed: News['failed'] = [];
  let lastSaid = 0;
  const say = (): void => {
    const done = progress.reduce((sum, n) => sum + n, 0);
    const seconds = (performance.now() - startedAt) / 1000;
    const line = `${done} of ${seeds} seeds, ${failed.length} failed, ${seconds.toFixed(1)} s (${((seconds / Math.max(done, 1)) * 1000).toFixed(1)} ms a seed)`;
    if (process.stdout.isTTY) process.stdout.write(`\r${line}`);
    else if (done === seeds || Math.floor(seconds / 10) > lastSaid) console.log(line);
    lastSaid = Math.floor(seconds / 10);
  };
  const share = Math.ceil(seeds / processes);
  const ends = Array.from({ length: processes }, (_, nth) => {
    const first = from + nth * share;
    const count = Math.min(share, from + seeds - first);
    if (count <= 0) return Promise.resolve(0);
    const given: Work = { from: first, seeds: count, workload };
    const child: ChildProcess = fork(fileURLToPath(import.meta.url), ['--work', JSON.stringify(given)], {
      // Each seed leaves some megabytes behind it at once: collected less often, they cost less.
      execArgv: ['--max-semi-space-size=64'],
    });
    child.on('message', (message) => {
      const news = message as News;
      progress[nth] = news.done;
      for (const failure of news.failed) {
        failed.push(failure);
        printFailure(failure);
      }
      say();
    });
    return new Promise<number>((resolve) => child.on('exit', (code) => resolve(code ?? 1)));
  });
  const codes = await Promise.all(ends);
  if (process.stdout.isTTY) console.log();
  if (failed.length > 0) console.log(`failing seeds: ${failed.map(({ seed }) => seed).join(' ')}`);
  return failed.length > 0 || codes.some((code) => code !== 0) ? 1 : 0;
}

/** With `--trace`: every step of these seeds, in this process. */
async function traceSeeds({ from, seeds, workload }: Work): Promise<number> {
  const folder = memoryFolder();
  let failures = 0;
  try {
    for (let seed = from; seed < from + seeds; seed++) {
      const report = await simulate(workloadOf(seed, workload), { seed, folder });
      for (const line of report.trace) console.log(line);
      const { failure, steps, commits, lives, ms } = report;
      if (failure !== null) failures += 1;
      console.log(failure === null ? '' : messageOf(failure));
      console.log(
        `seed ${seed} (${report.workload}) ${failure === null ? 'passes' : 'fails'}: ${steps} steps, ${commits} commits, ${lives} processes, ${ms} simulated ms`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return failures > 0 ? 1 : 0;
}

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '0' },
    workload: { type: 'string' },
    processes: { type: 'string', default: String(availableParallelism()) },
    trace: { type: 'boolean', default: false },
    work: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) console.log(usage);
else if (values.work !== undefined) await work(values.work);
else {
  const given: Work = {
    from: Number(values.from),
    seeds: Number(values.seeds),
    workload: values.workload ?? null,
  };
  workloadOf(given.from, given.workload);
  process.exitCode = values.trace ? await traceSeeds(given) : await runMany(given, Number(values.processes));
}
