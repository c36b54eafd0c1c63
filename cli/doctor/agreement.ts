import type { Violation } from '#core/invariants';
import { takeCensus } from '#db/images/index';
import type { Exec } from '#infra/exec';
import { hasStateDir, statePaths } from '#infra/state-dir';
import { openStateDatabase } from '../database.ts';
import type { Session } from '../session.ts';
import { findViolations } from '../verify-work.ts';
import { broken, type Finding, note, ok } from './finding.ts';
import { checkHeld } from './pool.ts';

/** So many of one kind are told; the rest is `flyd doctor --verify`'s. */
const toldMax = 10;

/** Where database and world do not agree, and what cannot be removed because somebody holds it. */
export async function checkAgreement(session: Session, exec: Exec): Promise<Finding[]> {
  const { stateDir } = session.settings;
  if (!(await hasStateDir(stateDir))) return [];
  const { violations, leftovers } = await findViolations(session);
  const says = ({ subject, says }: Violation): string => `${subject}: ${says}`;
  const db = openStateDatabase(statePaths(stateDir), session.settings, { readonly: true });
  try {
    const findings = [
      ...violations.slice(0, toldMax).map((each) => broken(each.invariant, says(each), each.fix)),
      ...leftovers.slice(0, toldMax).map((each) => note(each.invariant, says(each), each.fix)),
      ...(await checkHeld(takeCensus(db), stateDir, exec)),
    ];
    const more = violations.length + leftovers.length - findings.length;
    if (more > 0) findings.push(note('agreement', `${more} more`, 'flyd doctor --verify'));
    return findings.length > 0 ? findings : [ok('agreement', 'the database and what is there agree')];
  } finally {
    db.close();
  }
}
