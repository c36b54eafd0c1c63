import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Result, resultOf } from '../result.ts';
import type { Line } from './line.ts';
import { dropCaches, timed } from './run.ts';
import type { Subject } from './subjects.ts';

/**
 * Lets each subject pull into a folder of its own below `work`, round after round, so that what else the
 * machine does hits all alike. What is served and the programs (`warm`) are in the page cache, nothing else is.
 * After each pull caches are dropped and the whole tree is read.
 */
export async function compare(
  subjects: readonly Subject[],
  { rounds, work, line, warm }: { rounds: number; work: string; line: Line; warm: readonly string[] },
): Promise<Result[]> {
  const noted = new Map<string, { subject: Subject; unit: string; list: number[]; title: string }>();
  const note = (subject: Subject, title: string, unit: string, value: number | null): void => {
    if (value === null) return;
    const key = `${title} ${subject.name}`;
    const known = noted.get(key) ?? { subject, unit, title, list: [] };
    known.list.push(value);
    noted.set(key, known);
  };
  for (let round = 1; round <= rounds; round++)
    for (const subject of subjects) {
      const place = join(work, `${round}-${subject.name.replace(/\W+/g, '-')}`);
      mkdirSync(place);
      dropCaches(warm);
      const watched = await line.watch();
      const pulled = await subject.pull(place);
      const came = watched();
      dropCaches();
      const read = timed(`tar -C ${pulled.tree} --one-file-system -cf - . | cat > /dev/null`);
      note(subject, 'pull', 's', pulled.seconds);
      note(subject, 'read all', 's', read.seconds);
      note(subject, 'both', 's', pulled.seconds + read.seconds);
      note(subject, 'CPU', 's', pulled.cpuSeconds);
      note(subject, 'peak memory', 'MiB', pulled.peakMiB);
      let fetched = '';
      if (came !== null && line.rate !== null && came.bytes > 0) {
        const share = (seconds: number): number => (came.bytes * 8 * 100) / seconds / (line.rate ?? 0);
        note(subject, 'line, while bytes come', '%', share(came.seconds));
        note(subject, 'line, of the whole pull', '%', share(pulled.seconds));
        fetched = `, ${Math.round(came.bytes / 1e6)} MB in ${came.seconds.toFixed(2)} s`;
      }
      console.log(
        `round ${round}: ${subject.name} ${pulled.seconds} s${fetched}, read ${read.seconds} s (${pulled.note})`,
      );
    }
  return [...noted.values()].map(({ subject, title, unit, list }) =>
    resultOf({ case: title, subject: subject.name, version: subject.version, unit }, list),
  );
}
