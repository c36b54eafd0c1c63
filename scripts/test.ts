import { availableParallelism } from 'node:os';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Kind, kinds } from '../test/support/kinds.ts';
import { type KindReport, runKind } from '../test/support/run-kind.ts';

/**
 * `npm test`: every kind of test, one after the other, a table at the end.
 * `npm test -- unit engine` runs these kinds only; `--ci` (or CI=true) counts a skip as a failure.
 */
const root = fileURLToPath(new URL('..', import.meta.url));

function parse(args: readonly string[]): { chosen: Kind[]; strict: boolean } {
  const strict = args.includes('--ci') || ['true', '1'].includes(process.env.CI ?? '');
  const names = args.filter((arg) => arg !== '--ci');
  const unknown = names.filter((name) => !kinds.some((kind) => kind.name === name));
  if (unknown.length > 0) {
    console.error(`no such kind of test: ${unknown.join(', ')}`);
    console.error(`usage: npm test -- [--ci] [${kinds.map((kind) => kind.name).join('|')} ...]`);
    process.exit(2);
  }
  return { chosen: kinds.filter((kind) => names.length === 0 || names.includes(kind.name)), strict };
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const sum = (reports: KindReport[], count: (report: KindReport) => number): number =>
  reports.reduce((total, report) => total + count(report), 0);

function printTable(reports: KindReport[]): void {
  const row = (cells: string[]): string =>
    (cells[0] ?? '').padEnd(10) +
    cells
      .slice(1)
      .map((cell) => cell.padStart(10))
      .join('');
  console.log(`\n${row(['kind', 'passed', 'failed', 'skipped', 'time'])}`);
  for (const { kind, passed, failures, skips, ms } of reports)
    console.log(row([kind, String(passed), String(failures.length), String(skips.length), seconds(ms)]));
}

function printSkips(reports: KindReport[], strict: boolean): void {
  const skips = reports.flatMap(({ kind, skips }) => skips.map((skip) => ({ kind, ...skip })));
  if (skips.length === 0) return;
  console.log(strict ? '\nSkipped, which counts as failed here:' : '\nSkipped:');
  for (const { kind, title, reason } of skips) console.log(`  ${kind}: ${title}\n      ${reason}`);
  if (skips.some(({ reason }) => reason.includes('apt-get')))
    console.log('scripts/setup-tests (as root) installs all that the tests need.');
}

function printFailures(reports: KindReport[]): void {
  const failures = reports.flatMap(({ kind, failures }) => failures.map((failure) => ({ kind, ...failure })));
  if (failures.length === 0) return;
  console.log('\nFailed:');
  for (const { kind, title, file } of failures)
    console.log(`  ${kind}: ${title}${file === '' ? '' : ` (${relative(root, file)})`}`);
}

const { chosen, strict } = parse(process.argv.slice(2));
const reports: KindReport[] = [];
for (const kind of chosen) {
  console.log(`\n== ${kind.name}: ${kind.proves}`);
  const report = await runKind(kind, { root, strict, cores: availableParallelism(), say: console.log });
  console.log(`   ${report.passed} passed, ${report.failures.length} failed, ${seconds(report.ms)}`);
  reports.push(report);
}

const passed = sum(reports, (report) => report.passed);
const failed = sum(reports, (report) => report.failures.length);
const skipped = sum(reports, (report) => report.skips.length);
printTable(reports);
printSkips(reports, strict);
printFailures(reports);
if (passed === 0) console.log('\nNo test ran.');
console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed > 0 || passed === 0 || (strict && skipped > 0) ? 1 : 0;
