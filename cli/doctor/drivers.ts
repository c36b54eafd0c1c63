import { join } from 'node:path';
import { toErrorRecord } from '#core/errors';
import { driverNames } from '#core/image';
import type { Exec } from '#infra/exec';
import { parsePoolStatus } from '#infra/volumes/dm-status';
import { createDm } from '#infra/volumes/dmsetup';
import type { Drivers } from '#infra/volumes/index';
import { readPoolRecord } from '#infra/volumes/pool-record';
import { broken, type Finding, note, ok, warn } from './finding.ts';

/** What each driver can do here, and which one a pull would take. */
export async function checkDrivers(
  drivers: Drivers,
  wanted: Parameters<Drivers['choose']>[0],
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const name of driverNames) {
    const { usable, reason, fix, warnings } = await drivers.byName[name].probe();
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

const fullShare = 0.8;

/** The thin pool of this state directory, when it has one. Looks at the mapped device only, and maps none. */
export async function checkPool(folder: string, exec: Exec): Promise<Finding[]> {
  const op = 'doctor';
  try {
    const record = await readPoolRecord(folder);
    if (record === null) return [];
    if (record.kind === 'loop')
      return [
        warn(
          'pool',
          `it is on loop files in ${folder}: for trying out`,
          'flyd pull --pool-data DEV --pool-meta DEV',
        ),
        ...(await checkPoolStatus(record.dmName, exec, op)),
      ];
    return await checkPoolStatus(record.dmName, exec, op);
  } catch (error) {
    const { message, hint } = toErrorRecord(error);
    return [broken('pool', message, hint ?? `see ${join(folder, 'pool.json')}`)];
  }
}

async function checkPoolStatus(name: string, exec: Exec, op: string): Promise<Finding[]> {
  const dm = createDm({ exec });
  if ((await dm.findByName(name)) === null)
    return [note('pool', `${name} is not mapped now; the next command that needs it maps it`)];
  const line = await dm.status(name, op);
  const status = line === null ? null : parsePoolStatus(line.args);
  if (status === null)
    return [broken('pool', `the status of ${name} makes no sense`, `dmsetup status ${name}`)];
  if (status.mode !== 'rw' || status.needsCheck)
    return [
      broken(
        'pool',
        `${name} is ${status.mode}${status.needsCheck ? ' and needs a check' : ''}`,
        'unmap it and its volumes, then thin_check and thin_repair its metadata',
      ),
    ];
  return [
    fill('pool data', status.dataUsed, status.dataTotal),
    fill('pool metadata', status.metaUsed, status.metaTotal),
  ];
}

function fill(check: string, used: number, total: number): Finding {
  const says = `${Math.round((100 * used) / Math.max(1, total))} % of ${total} blocks used`;
  return used > total * fullShare ? warn(check, says, 'flyd rm, flyd gc, or a larger pool') : ok(check, says);
}
