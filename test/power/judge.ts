import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { rows, strangeThings, unfinishedWork } from '../crash/judge.ts';
import { diffRootfs, readRootfs } from '../support/rootfs.ts';
import { type Machine, mountRoot, statePath } from './machine.ts';
import { type Report, type Told, userFile } from './scenario.ts';

/** What is wrong with a machine that has come back and on which `flyd resume` has run. */
export function judge(machine: Machine, told: Told, marks: readonly string[]): string[] {
  const reported = countOf(marks);
  const before = told.reports.slice(0, reported);
  if (!existsSync(join(statePath(machine), 'flyd.db')))
    return before.length === 0 ? [] : ['the database is gone'];
  const place = placeOf(machine);
  return [
    ...intact(place),
    ...kept(place, before),
    ...unfinishedWork(place),
    ...presence(place, told.reports, reported),
    ...strangeThings(place),
    ...trees(place, told, before),
  ];
}

/** Whether the run under way at the cut is the one that must fail. */
export const expectedFailure = (told: Told, marks: readonly string[]): boolean =>
  told.reports[countOf(marks)]?.status === 'failed';

/** The name of the operation that was under way. */
export const stepUnderWay = (told: Told, marks: readonly string[]): string =>
  told.reports[countOf(marks)]?.step ?? 'the end';

const countOf = (marks: readonly string[]): number =>
  marks.filter((mark) => mark.startsWith('report-')).length;

type Place = { state: string; mountRoot: string; driver: string };

const placeOf = (machine: Machine): Place => ({
  state: statePath(machine),
  mountRoot: mountRoot(machine),
  driver: machine.driver,
});

function intact(place: Place): string[] {
  const [row] = rows<{ integrity_check: string }>(place, 'PRAGMA integrity_check');
  return row?.integrity_check === 'ok' ? [] : [`the database is damaged: ${row?.integrity_check}`];
}

/** Every run that was reported is there, and ended as it was said. */
function kept(place: Place, reports: readonly Report[]): string[] {
  const status = new Map(
    rows<{ uid: string; status: string }>(place, 'SELECT uid, status FROM runs').map((row) => [
      row.uid,
      row.status,
    ]),
  );
  return reports.flatMap(({ step, run, status: said }) =>
    run === null || status.get(run) === said
      ? []
      : [`${step} was reported ${said}, and is ${status.get(run) ?? 'forgotten'}`],
  );
}

/** What the last report said is there, unless the step after it was to remove it; and nothing but what that was to add. */
function presence(place: Place, reports: readonly Report[], count: number): string[] {
  const now = reports[count - 1];
  const next = reports[count] ?? now;
  const check = (what: 'images' | 'activations', found: string[]): string[] => {
    const [then, soon] = [now?.[what] ?? [], next?.[what] ?? []];
    const gone = then.filter((name) => soon.includes(name) && !found.includes(name));
    const strange = found.filter((name) => !then.includes(name) && !soon.includes(name));
    return [
      ...gone.map((name) => `${what}: ${name} is gone`),
      ...strange.map((name) => `${what}: ${name} is back`),
    ];
  };
  const names = (sql: string): string[] => rows<{ name: string }>(place, sql).map(({ name }) => name);
  return [
    ...check('images', names("SELECT family AS name FROM images WHERE state = 'complete'")),
    ...check('activations', names("SELECT name FROM activations WHERE state = 'active'")),
  ];
}

/** The numbers of the thin devices that the database knows. */
export const thinDevices = (state: string): number[] =>
  existsSync(join(state, 'flyd.db'))
    ? rows<{ device: number }>(
        { state },
        'SELECT device FROM volumes WHERE device IS NOT NULL UNION SELECT device FROM activations WHERE device IS NOT NULL',
      ).map(({ device }) => device)
    : [];

/** Activations hold what they held, down to the byte. */
function trees(place: Place, told: Told, reports: readonly Report[]): string[] {
  const wrote = reports.some(({ step }) => step === 'write');
  const active = rows<{ name: string; family: string; rootfs: string }>(
    place,
    `SELECT a.name, i.family, a.rootfs FROM activations a JOIN images i ON i.id = a.image WHERE a.state = 'active'`,
  );
  return active.flatMap(({ name, family, rootfs }) => {
    if (!existsSync(rootfs)) return [`${name}: nothing at ${rootfs}`];
    const then = new Map(told.trees[family]);
    const now = readRootfs(rootfs);
    const problems: string[] = [];
    if (name === 'one') {
      const file = join(rootfs, userFile.path);
      const content = existsSync(file) ? readFileSync(file, 'utf8') : null;
      if (wrote && content !== userFile.content) problems.push(`${name}: its user's file holds ${content}`);
      // Its folder has changed with it.
      for (const path of [userFile.path, 'srv/data']) for (const tree of [then, now]) tree.delete(path);
    }
    return [...problems, ...diffRootfs(then, now).map((line) => `${name}: ${line}`)];
  });
}
