import type { Result } from '../result.ts';
import { names } from './rivals.ts';

/** The figures of one rival with so many runs at once. */
export const titles = {
  steps: (atOnce: number) => `${atOnce} at once`,
  transitions: (atOnce: number) => `${atOnce} at once: transitions`,
  p50: (atOnce: number) => `${atOnce} at once: p50`,
  p99: (atOnce: number) => `${atOnce} at once: p99`,
  cpu: (atOnce: number) => `${atOnce} at once: CPU`,
  fsyncs: (atOnce: number) => `${atOnce} at once: fsyncs`,
} as const;
export const waitingTitle = '10000 waiting runs, after a kill';

/** The results as one table; a ratio is flyd's steps a second over the other's. */
export function tableOf(results: readonly Result[], atOnce: readonly number[]): string[] {
  const rows = [
    ['at once', 'subject', 'steps/s (min to max)', 'flyd is', 'p50 ms', 'p99 ms', 'CPU µs', 'fsyncs a step'],
  ];
  for (const many of atOnce) {
    const find = finder(results, many);
    const flyd = find(names.flyd, 'steps')?.median;
    for (const name of Object.values(names)) {
      const steps = find(name, 'steps');
      if (steps === undefined) continue;
      const ratio =
        flyd === undefined || name === names.flyd ? '' : `${(flyd / steps.median).toPrecision(2)} times`;
      const small = (['p50', 'p99', 'cpu', 'fsyncs'] as const).map((title) =>
        String(find(name, title)?.median ?? ''),
      );
      const spread = `${whole(steps.median)} (${whole(steps.min)} to ${whole(steps.max)})`;
      rows.push([String(many), name, spread, ratio, ...small]);
    }
  }
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, n) => cell.padEnd(widths[n] ?? 0)).join(' | ')} |`;
  const [head = [], ...body] = rows;
  return [line(head), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...body.map(line)];
}

const whole = (value: number): string => Math.round(value).toLocaleString('en');

const finder =
  (results: readonly Result[], atOnce: number) =>
  (subject: string, title: keyof typeof titles): Result | undefined =>
    results.find((result) => result.subject === subject && result.case === titles[title](atOnce));

/** What is wanted of the engine, each with what was measured; nothing of what was not. */
export function targets(results: readonly Result[]): { text: string; met: boolean }[] {
  const verdicts: { text: string; met: boolean }[] = [];
  const hold = (what: string, value: number | undefined, wanted: number): void => {
    if (value === undefined || Number.isNaN(value)) return;
    const digits = value < 100 ? value.toPrecision(3) : whole(value);
    verdicts.push({
      text: `${what}: ${digits}, wanted ${wanted.toLocaleString('en')}`,
      met: value >= wanted,
    });
  };
  const steps = (atOnce: number, name: string): number | undefined =>
    finder(results, atOnce)(name, 'steps')?.median;
  const ratio = (atOnce: number, name: string): number =>
    (steps(atOnce, names.flyd) ?? Number.NaN) / (steps(atOnce, name) ?? Number.NaN);
  hold('transitions a second, 64 at once', finder(results, 64)(names.flyd, 'transitions')?.median, 30_000);
  const alone = finder(results, 1);
  const commits =
    (alone(names.flyd, 'steps')?.median ?? Number.NaN) * (alone(names.flyd, 'fsyncs')?.median ?? Number.NaN);
  hold(
    "commits a second, 1 at once, of the disk's",
    commits / (alone(names.commits, 'steps')?.median ?? Number.NaN),
    0.9,
  );
  for (const atOnce of [1, 16, 64, 256])
    hold(`times the step table, ${atOnce} at once`, ratio(atOnce, names.table), 0.8);
  hold("times Restate's, embedded against networked, 64 at once", ratio(64, names.restate), 8);
  hold("times DBOS', embedded against networked, 64 at once", ratio(64, names.dbos), 16);
  const back = results.find((result) => result.case === waitingTitle)?.median;
  if (back !== undefined)
    verdicts.push({ text: `${waitingTitle}: ${whole(back)} ms, wanted at most 2,000`, met: back <= 2000 });
  return verdicts;
}
