import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** One line of a result file: what was measured, of what, and how it spread. */
export interface Result {
  case: string;
  subject: string;
  version: string;
  unit: string;
  median: number;
  min: number;
  max: number;
  runs: number;
}

/** The measured values of one case as a result; at least one value. */
export function resultOf(
  what: Pick<Result, 'case' | 'subject' | 'version' | 'unit'>,
  values: readonly number[],
): Result {
  const sorted = values.toSorted((a, b) => a - b);
  const [min = Number.NaN] = sorted;
  const max = sorted.at(-1) ?? Number.NaN;
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN;
  return {
    ...what,
    median: round((lower + upper) / 2),
    min: round(min),
    max: round(max),
    runs: sorted.length,
  };
}

/** To a tenth, and what is small to three digits. */
const round = (value: number): number =>
  Math.abs(value) < 10 ? Number(value.toPrecision(3)) : Math.round(value * 10) / 10;

/** Writes the results as JSON. */
export function saveResults(path: string, results: readonly Result[]): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`);
}

/** Writes the results as JSON, and a table of them to stdout. */
export function writeResults(path: string, results: readonly Result[]): void {
  saveResults(path, results);
  for (const { case: title, subject, median, min, max, unit, runs } of results)
    console.log(
      `${title.padEnd(28)} ${subject.padEnd(46)} ${String(median).padStart(9)} ${unit.padEnd(3)} (${min} to ${max}, ${runs} runs)`,
    );
  console.log(`written to ${path}`);
}

/** How each subject's median of one case compares with another subject's: the only figures to quote. */
export function writeRatios(results: readonly Result[], title: string, to: string): void {
  const base = results.find((one) => one.case === title && one.subject === to)?.median;
  if (base === undefined) return;
  console.log(`${title}, with ${to} as 1:`);
  for (const { subject, median } of results.filter((one) => one.case === title))
    console.log(`  ${subject.padEnd(52)} ${(median / base).toFixed(2)}`);
}
