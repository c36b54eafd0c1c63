import type { Violation } from '#core/invariants';
import type { Measuring } from '#infra/blob-store';
import type { Exec } from '#infra/exec';
import type { Session } from '../session.ts';
import { findViolations } from '../verify-work.ts';
import { broken, type Finding, note, ok } from './finding.ts';
import { checkHeld } from './pool.ts';

/** So many of one kind are told; the rest is `flyd doctor --verify`'s. */
const toldMax = 10;

/** Where database and world do not agree, and what cannot be removed because somebody holds it. `begun`: see `findViolations`. */
export async function checkAgreement(session: Session, exec: Exec, begun: Measuring): Promise<Finding[]> {
  const { stateDir } = session.settings;
  const { violations, leftovers, census } = await findViolations(session, begun);
  if (census === null) return [];
  const says = ({ subject, says }: Violation): string => `${subject}: ${says}`;
  const findings = [
    ...violations.slice(0, toldMax).map((each) => broken(each.invariant, says(each), each.fix)),
    ...leftovers.slice(0, toldMax).map((each) => note(each.invariant, says(each), each.fix)),
    ...(await checkHeld(census, stateDir, exec)),
  ];
  const more = violations.length + leftovers.length - findings.length;
  if (more > 0) findings.push(note('agreement', `${more} more`, 'flyd doctor --verify'));
  return findings.length > 0 ? findings : [ok('agreement', 'the database and what is there agree')];
}
