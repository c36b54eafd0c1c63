import { setTimeout as sleep } from 'node:timers/promises';
import { type Census, invariants, judge, lasting, type Violation } from '#core/invariants';
import { createBlobStore, type Measuring } from '#infra/blob-store';
import { createExec } from '#infra/exec';
import { hasStateDir, openStateDir } from '#infra/state-dir';
import { createDrivers } from '#infra/volumes/index';
import { openStateDatabase } from './database.ts';
import { takePicture } from './doctor/picture.ts';
import { exitCodes } from './exit.ts';
import { oneLine } from './output.ts';
import { poolOptionsOf } from './pool-options.ts';
import type { Session } from './session.ts';

export interface Verdict {
  /** Promises that do not hold. */
  violations: Violation[];
  /** Harmless, and gone with the next `flyd gc`. */
  leftovers: Violation[];
  /** What the database had when it was last looked at; null where there is none. */
  census: Census | null;
}

/** What looks wrong is looked at again, so often and after so long: only what stays wrong is. */
const looks = 3;
const pauseMs = 250;

/** `flyd doctor --verify`: compares database and world by the list of invariants. Changes nothing. */
export async function verify(session: Session): Promise<number> {
  const { out } = session;
  const { violations, leftovers } = await findViolations(session);
  out.document({
    ok: violations.length === 0,
    violations,
    leftovers,
    checked: invariants.map(({ name, states, level }) => ({ name, states, level })),
  });
  for (const { invariant, subject, says, fix } of violations)
    out.say(
      `broken    ${invariant}  ${oneLine(subject)}: ${oneLine(says)}${fix === null ? '' : `  -> ${fix}`}`,
    );
  for (const { invariant, subject, says, fix } of leftovers)
    out.say(
      `leftover  ${invariant}  ${oneLine(subject)}: ${oneLine(says)}${fix === null ? '' : `  -> ${fix}`}`,
    );
  if (violations.length === 0) out.say(`all ${invariants.length} invariants hold`);
  return violations.length === 0 ? exitCodes.done : exitCodes.failed;
}

/**
 * What breaks an invariant, and goes on breaking it while it is looked at again. `begun`: the first look at
 * all blobs, which takes longest, if it was begun before.
 */
export async function findViolations(
  { settings, surroundings }: Session,
  begun?: Measuring,
): Promise<Verdict> {
  const { stateDir, mountRoot } = settings;
  if (!(await hasStateDir(stateDir))) return { violations: [], leftovers: [], census: null };
  const state = await openStateDir(stateDir);
  const store = createBlobStore(stateDir);
  const measuring = begun ?? store.startMeasuring();
  const db = openStateDatabase(state.paths, settings, { readsMuch: true });
  try {
    const exec = createExec({ path: surroundings.path });
    const drivers = await createDrivers({ stateDir, exec, pool: poolOptionsOf(settings) });
    const look = async (measuring: Measuring): Promise<Verdict> => {
      const picture = await takePicture({ db, store, measuring, drivers, exec, stateDir, mountRoot });
      return {
        violations: judge(picture, 'broken'),
        leftovers: judge(picture, 'leftover'),
        census: picture.census,
      };
    };
    let verdict = await look(measuring);
    for (let n = 1; n < looks && verdict.violations.length + verdict.leftovers.length > 0; n++) {
      await sleep(pauseMs);
      const again = await look(store.startMeasuring());
      verdict = {
        violations: lasting(verdict.violations, again.violations),
        leftovers: lasting(verdict.leftovers, again.leftovers),
        census: again.census,
      };
    }
    return verdict;
  } finally {
    db.close();
    state.close();
  }
}
