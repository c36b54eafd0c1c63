import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, release } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { stepsPerRun } from './engine/chart.ts';
import { hasStrace } from './engine/fsyncs.ts';
import { freshFolder, fsyncsPerStep, measure, type Places } from './engine/measure.ts';
import { installPeers } from './engine/peers.ts';
import { names, type Rival, rivals } from './engine/rivals.ts';
import { tableOf, targets, titles, waitingTitle } from './engine/verdict.ts';
import { backAfterKill } from './engine/waiting.ts';
import type { Answer } from './engine/worker.ts';
import { type Result, resultOf, saveResults } from './result.ts';

/** Durable steps a second, beside what one could use instead: `npm run bench:engine`. */
const usage = `usage: npm run bench:engine -- [--runs N] [--at-once N,N] [--only TEXT,TEXT] [--seconds N] [--peers] [--add] [--work DIR]

  --runs N      measurements of each (default 3)
  --at-once N,N runs at once (default 1,16,64,256,1000)
  --only TEXT   only what has one of these texts in its name; beside the subjects: waiting, fsyncs (of all)
  --seconds N   how long each is measured (default 2), after as long again to warm up
  --peers       installs Restate and DBOS from npm, into bench/out/engine-peers; once is enough
  --add         keeps what an earlier run wrote of what this one does not measure
  --work DIR    where databases are made (default: bench/out); on the disk that counts

A run is one statechart of ten steps; each step invokes an effect that does nothing, and changes the context. So
many runs at once: each that ends is followed by a new one. PostgreSQL (apt-get install postgresql) and Restate are
started on loopback with the settings that they are shipped with, as an ordinary user where they want one. fsyncs are
counted by strace, in short runs of their own.`;

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    'at-once': { type: 'string', default: '1,16,64,256,1000' },
    only: { type: 'string', default: '' },
    seconds: { type: 'string', default: '2' },
    peers: { type: 'boolean', default: false },
    add: { type: 'boolean', default: false },
    work: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}

const root = fileURLToPath(new URL('..', import.meta.url));
const out = join(root, 'bench/out');
const file = join(out, 'engine.json');
const peers = join(out, 'engine-peers');
mkdirSync(out, { recursive: true });
if (values.peers) installPeers(peers);
const runs = numberOf('runs', values.runs);
const atOnce = values['at-once'].split(',').map((text) => numberOf('at-once', text));
const measureMs = 1000 * numberOf('seconds', values.seconds);
const wanted = values.only.split(',');
const isWanted = (name: string): boolean => wanted.some((text) => name.includes(text));
const work = freshFolder(resolve(values.work ?? out));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.once('exit', () => rmSync(work, { recursive: true, force: true, maxRetries: 10 }));
const places: Places = { work, peers };
const results: Result[] = [];
const failed = new Set<Rival>();

console.log(`${availableParallelism()} cores, Linux ${release()}, Node ${process.version}`);
const everyone = rivals(root, peers);
const present: Rival[] = [];
for (const one of everyone)
  if (typeof one === 'string') console.log(`not compared with ${one}`);
  else if (isWanted(one.name) || wanted.includes('fsyncs')) {
    present.push(one);
    console.log(`comparing ${one.name} (${one.version})`);
  }
await steps(present.filter(({ name }) => isWanted(name)));
if (!isWanted('fsyncs')) console.log('fsyncs are not counted this time');
else if (hasStrace()) await fsyncs();
else console.log('fsyncs are not counted: strace is absent (apt-get install strace)');
if (isWanted('waiting')) await waiting();
report();

/** Round after round, so that what else the machine does hits all alike. */
async function steps(rivals: readonly Rival[]): Promise<void> {
  const answers = new Map<Rival, Map<number, Answer[]>>();
  for (let round = 1; round <= runs; round++)
    for (const rival of rivals)
      await unlessItFails(rival, async () => {
        const lengths = { warmMs: measureMs, measureMs };
        for await (const { atOnce: many, answer } of measure(rival, manyOf(rival), lengths, places)) {
          const all = answers.get(rival) ?? new Map<number, Answer[]>();
          answers.set(rival, all.set(many, [...(all.get(many) ?? []), answer]));
          const rate = Math.round(answer.steps / answer.seconds);
          console.log(`round ${round}: ${rival.name}, ${many} at once: ${rate} steps/s`);
        }
      });
  for (const [rival, all] of answers)
    for (const [many, list] of all) {
      const note = (title: keyof typeof titles, unit: string, value: (answer: Answer) => number): void =>
        record(titles[title](many), rival, unit, list.map(value));
      note('steps', 'steps/s', ({ steps, seconds }) => steps / seconds);
      note('p50', 'ms', ({ p50Ms }) => p50Ms);
      note('p99', 'ms', ({ p99Ms }) => p99Ms);
      note('cpu', 'µs', ({ cpuMs, steps }) => (1000 * cpuMs) / steps);
      if (list.every(({ written }) => written !== null))
        note('transitions', '/s', ({ steps, seconds, written }) =>
          written === null
            ? Number.NaN
            : (steps / seconds) * (written.transitions / (stepsPerRun * written.runs)),
        );
    }
}

/** One that fails is named, and spoils nothing of the others. */
async function unlessItFails(rival: Rival, work: () => Promise<void>): Promise<void> {
  if (failed.has(rival)) return;
  try {
    await work();
  } catch (error) {
    failed.add(rival);
    console.log(`failed: ${rival.name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** In runs of their own, for strace slows what it watches. */
async function fsyncs(): Promise<void> {
  for (const rival of present)
    await unlessItFails(rival, async () => {
      for (const many of manyOf(rival)) {
        const value = await fsyncsPerStep(rival, many, { warmMs: 1000, measureMs: 1000 }, places);
        record(titles.fsyncs(many), rival, 'a step', [value]);
      }
    });
}

async function waiting(): Promise<void> {
  const took = await backAfterKill(work, 10_000, runs);
  for (const one of everyone)
    if (typeof one !== 'string' && one.name === names.flyd) record(waitingTitle, one, 'ms', took);
}

function manyOf({ alone }: Rival): readonly number[] {
  return alone ? [1] : atOnce;
}

function record(
  title: string,
  { name, version }: Pick<Rival, 'name' | 'version'>,
  unit: string,
  list: readonly number[],
): void {
  results.push(resultOf({ case: title, subject: name, version, unit }, list));
}

function report(): void {
  const isNew = (old: Result): boolean =>
    !results.some((result) => result.case === old.case && result.subject === old.subject);
  const kept =
    values.add && existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Result[]).filter(isNew) : [];
  const all = [...kept, ...results];
  saveResults(file, all);
  const shown = [...new Set(all.map((result) => Number.parseInt(result.case, 10)))].sort((a, b) => a - b);
  for (const line of tableOf(all, shown)) console.log(line);
  console.log('Restate and DBOS are servers, asked over loopback: flyd is embedded against networked.');
  console.log(
    'Not measured here: superfly/fsm, 3,065 steps/s at any concurrency, one fsync an event (its figure).',
  );
  const verdicts = targets(all);
  for (const { text, met } of verdicts) console.log(`${met ? 'met' : 'missed'}: ${text}`);
  console.log(`written to ${file}`);
  process.exitCode = failed.size === 0 && verdicts.every(({ met }) => met) ? 0 : 1;
}

function numberOf(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${option}: not a number from 1 on: ${text}`);
  return value;
}
