import { toErrorRecord } from '#core/errors';
import { driverNames } from '#core/image';
import type { Support } from '#infra/volumes/driver';
import type { Drivers } from '#infra/volumes/index';
import { broken, type Finding, note, ok, warn } from './finding.ts';

/** What each driver can do here, and which one a pull would take. */
export async function checkDrivers(
  drivers: Drivers,
  wanted: Parameters<Drivers['choose']>[0],
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const name of driverNames) {
    const { usable, reason, fix, warnings } = await drivers.byName[name].probe().catch(unusable);
    const check = `driver ${name}`;
    findings.push(usable ? ok(check, reason) : note(check, `cannot work here: ${reason}`, fix));
    if (usable) for (const warning of warnings) findings.push(warn(check, warning));
  }
  try {
    const { driver, reason } = await drivers.choose(wanted);
    findings.push(ok('driver', `a pull takes ${driver.name}: ${reason}`));
  } catch (error) {
    const { message, hint } = toErrorRecord(error);
    findings.push(broken('driver', message, hint ?? null));
  }
  return findings;
}

/** What could not even be tried. */
function unusable(error: unknown): Support {
  const { message, hint } = toErrorRecord(error);
  return { usable: false, reason: message, fix: hint ?? null, warnings: [] };
}
