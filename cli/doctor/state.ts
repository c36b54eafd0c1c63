import { fromErrorRecord, toErrorRecord } from '#core/errors';
import type { DamageAnswer, DamageJob } from '#db/damage-thread';
import type { Engine } from '#engine/api';
import { openEngine } from '#engine/engine';
import type { Settings } from '#infra/config';
import { createOwnerLocks } from '#infra/owner-locks';
import { checkPrivate, hasStateDir, statePaths } from '#infra/state-dir';
import { besideModule, inThread } from '#infra/threads';
import { fileSystemOf, spaceOf } from '#infra/volumes/space';
import { type Database, openStateDatabase } from '../database.ts';
import { bytesText, timeText } from '../output.ts';
import { broken, type Finding, note, ok, warn } from './finding.ts';

/** Less free space than this is worth a word. */
const freeBytesMin = 1024 ** 3;
const freeInodesMin = 50_000;

export async function checkFolder(check: string, path: string): Promise<Finding> {
  try {
    await checkPrivate(path);
  } catch (error) {
    const { message, hint } = toErrorRecord(error);
    return broken(check, message, hint ?? null);
  }
  return ok(check, path);
}

export async function checkSpace(path: string): Promise<Finding[]> {
  const { name, network } = await fileSystemOf(path);
  const kind = network
    ? broken(
        'file system',
        `${path} is on ${name}, a network file system`,
        'give a --state-dir on a local disk',
      )
    : name === 'overlayfs'
      ? warn(
          'file system',
          `${path} is on overlayfs, where the overlay driver cannot work`,
          'give another --state-dir',
        )
      : ok('file system', name === '' ? 'a local one' : name);
  const rows = (await spaceOf(path)).map(({ unit, free, total }) => {
    const few = unit === 'bytes' ? free < freeBytesMin : free < freeInodesMin;
    const says =
      unit === 'bytes' ? `${bytesText(free)} of ${bytesText(total)} free` : `${free} of ${total} inodes free`;
    return few
      ? warn(`free ${unit}`, says, 'flyd gc, or give another --state-dir')
      : ok(`free ${unit}`, says);
  });
  return [kind, ...rows];
}

export interface RunsChecked {
  /** The database as far as opening it told, and the runs in it that somebody should look at. */
  findings: Finding[];
  /** The newest instant in it, in ms since 1970; null where there is none. */
  lastSeen: number | null;
  /** The database read from end to end, in another thread; null when it could not be opened, or there is none. */
  damage: Promise<Finding> | null;
}

/** The database and its runs. Fails with `database_failed` where the disk cannot read it. */
export async function checkRuns(settings: Pick<Settings, 'stateDir' | 'timeouts'>): Promise<RunsChecked> {
  const { stateDir, timeouts } = settings;
  const unopened = (finding: Finding): RunsChecked => ({ findings: [finding], lastSeen: null, damage: null });
  if (!(await hasStateDir(stateDir))) return unopened(note('database', 'none yet: the first pull makes it'));
  const paths = statePaths(stateDir);
  let db: Database;
  try {
    db = openStateDatabase(paths, settings, { readonly: true });
  } catch (error) {
    const { message, hint } = toErrorRecord(error);
    return unopened(broken('database', message, hint ?? null));
  }
  const owners = createOwnerLocks({ folder: paths.owners });
  try {
    const { version } = db.prepare('SELECT sqlite_version() AS version').get() as { version: string };
    const damage = checkDamage({ path: paths.db, waitMs: timeouts.databaseMs }, version);
    damage.catch(() => {}); // told to whoever waits for it
    const engine = openEngine({ db, machines: [], owners });
    const runs = engine.runs({ live: true });
    const newest = engine.runs({ limit: 100 }).reduce((latest, run) => Math.max(latest, run.updatedAt), 0);
    return {
      findings: checkLive(runs, (token) => owners.isHeld(token)),
      lastSeen: newest === 0 ? null : newest,
      damage,
    };
  } finally {
    owners.close();
    db.close();
  }
}

const damageThread = besideModule(import.meta.url, '../../db/damage-thread');

async function checkDamage(job: DamageJob, version: string): Promise<Finding> {
  const answer = await inThread<DamageJob, DamageAnswer>(damageThread, job);
  if ('failed' in answer) throw fromErrorRecord(answer.failed);
  return answer.damage === null
    ? ok('database', `intact, SQLite ${version}`)
    : broken(
        'database',
        `damaged: ${answer.damage}`,
        'flyd db restore FILE: the damaged one is kept in log/',
      );
}

function checkLive(runs: ReturnType<Engine['runs']>, isAlive: (token: string) => boolean): Finding[] {
  const findings = runs.flatMap((run): Finding[] => {
    const about = `${run.machine} ${run.id}`;
    const why = run.error === null ? '' : `: ${run.error.message}`;
    if (run.parents.length > 0) return []; // its parent is the one to act on
    if (run.status === 'parked')
      return [warn('runs', `${about} is parked${why}`, `flyd runs retry ${run.id}`)];
    if (run.owner !== null && isAlive(run.owner)) return [];
    const since = `since ${timeText(run.updatedAt)}`;
    return [
      warn(
        'runs',
        `${about} is ${run.status} and nobody carries it on, ${since}${why}`,
        `flyd resume ${run.id}`,
      ),
    ];
  });
  return findings.length > 0 ? findings : [ok('runs', `${runs.length} under way, none in trouble`)];
}
