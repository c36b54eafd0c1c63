import { createBlobStore, type Measuring } from '#infra/blob-store';
import { createExec, type Exec } from '#infra/exec';
import { createDrivers } from '#infra/volumes/index';
import { checkAgreement } from './doctor/agreement.ts';
import { checkDrivers } from './doctor/drivers.ts';
import type { Finding } from './doctor/finding.ts';
import { checkClock, checkKernel, checkNode, checkRoot, checkTools, checkUdev } from './doctor/host.ts';
import { checkPool } from './doctor/pool.ts';
import { checkFolder, checkRuns, checkSpace, type RunsChecked } from './doctor/state.ts';
import { exitCodes } from './exit.ts';
import { type Output, oneLine } from './output.ts';
import { poolOptionsOf } from './pool-options.ts';
import type { Session } from './session.ts';

/** `flyd doctor`: every check, each with what mends it. Changes nothing. */
export async function examine(session: Session): Promise<number> {
  const { settings, surroundings, out } = session;
  const { stateDir, mountRoot, driver } = settings;
  const exec = createExec({ path: surroundings.path });
  const folder = await checkFolder('state directory', stateDir);
  // What is in a folder that somebody else could have filled is not looked at.
  const safe = !isBroken(folder);
  // What takes longest is begun first, here and below.
  const measuring = safe ? createBlobStore(stateDir).startMeasuring() : null;
  const { findings: runs, lastSeen, damage } = safe ? await checkRuns(settings) : nothing;
  const content = measuring === null ? Promise.resolve([]) : checkContent(session, exec, damage, measuring);
  content.catch(() => {}); // told where it has its place
  const drivers = await createDrivers({ stateDir, exec, pool: poolOptionsOf(settings) });
  const findings: Finding[] = [
    checkNode(),
    checkKernel(),
    await checkRoot(),
    folder,
    await checkFolder('mount root', mountRoot),
    ...checkTools(),
    checkUdev(),
    ...(safe ? await checkSpace(stateDir) : []),
    ...(safe ? await checkDrivers(drivers, driver) : []),
    ...(safe ? await checkPool(stateDir, exec, settings.warnAt) : []),
    ...(await content),
    checkClock(lastSeen),
    ...runs,
  ];
  out.document({ ok: !findings.some(isBroken), checks: findings });
  for (const finding of findings) tell(finding, out);
  return findings.some(isBroken) ? exitCodes.failed : exitCodes.done;
}

const nothing: RunsChecked = { findings: [], lastSeen: null, damage: null };

/** What the database says, beside the world, and whether it can be read at all. Both take long: one does not wait for the other. */
async function checkContent(
  session: Session,
  exec: Exec,
  damage: RunsChecked['damage'],
  measuring: Measuring,
): Promise<Finding[]> {
  if (damage === null) return [];
  const agreement = checkAgreement(session, exec, measuring);
  agreement.catch(() => {}); // where the database is damaged, that is what there is to tell
  const intact = await damage;
  return isBroken(intact) ? [intact] : [...(await agreement), intact];
}

const isBroken = ({ verdict }: Finding): boolean => verdict === 'broken';

const colors: Record<Finding['verdict'], string> = { ok: '32', note: '36', warn: '33', broken: '31' };

function tell({ check, verdict, says, fix }: Finding, out: Output): void {
  const word = verdict.padEnd(6);
  out.say(
    `${out.color ? `\x1b[${colors[verdict]}m${word}\x1b[0m` : word}  ${check.padEnd(16)}  ${oneLine(says)}`,
  );
  if (fix !== null) out.say(`${' '.repeat(26)}-> ${oneLine(fix)}`);
}
