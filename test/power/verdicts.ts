import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Verdict } from './plan.ts';

/** The file to which a shard (`2/3`) appends its verdicts, a line of JSON each: guests cannot share one. */
export const verdictsFile = (folder: string, shard: string): string =>
  join(folder, `verdicts-${shard.replace('/', '-of-')}`);

/** The verdicts of all shards that replay, or have replayed, the recording in this folder. */
export function readVerdicts(folder: string): Verdict[] {
  const files = readdirSync(folder).filter((name) => name.startsWith('verdicts-'));
  return files.flatMap((name) => {
    // What follows the last newline is being written.
    const lines = readFileSync(join(folder, name), 'utf8').split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Verdict);
  });
}

/** What kind of cut it was: nothing of what was under way stayed, some writes, or pieces of 4 KiB. */
const kindOf = ({ seed, torn }: Verdict): 'bare' | 'subset' | 'torn' =>
  seed === null ? 'bare' : torn.whole ? 'subset' : 'torn';

/** A table for people: how many cuts of each kind each operation of each driver had, and how many failed. */
export function summary(byDriver: ReadonlyMap<string, readonly Verdict[]>): string[] {
  const rows = [['driver', 'operation', 'bare', 'subset', 'torn', 'cuts', 'not whole', 's a cut']];
  const row = (driver: string, step: string, verdicts: readonly Verdict[]): void => {
    const kinds = verdicts.map(kindOf);
    const counts = (['bare', 'subset', 'torn'] as const).map(
      (kind) => kinds.filter((k) => k === kind).length,
    );
    const bad = verdicts.filter(({ problems }) => problems.length > 0).length;
    const seconds = verdicts.reduce((sum, { ms }) => sum + ms, 0) / 1000 / verdicts.length;
    rows.push([driver, step, ...[...counts, verdicts.length, bad].map(String), seconds.toFixed(1)]);
  };
  for (const [driver, verdicts] of byDriver) {
    const inOrder = [...verdicts].sort((a, b) => a.moment - b.moment);
    for (const [step, those] of Map.groupBy(inOrder, (verdict) => verdict.step)) row(driver, step, those);
    if (verdicts.length > 0) row(driver, 'all', verdicts);
  }
  const widths = rows[0]?.map((_, at) => Math.max(...rows.map((cells) => cells[at]?.length ?? 0))) ?? [];
  return rows.map((cells) =>
    cells
      .map((cell, at) => (at < 2 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join('  '),
  );
}
