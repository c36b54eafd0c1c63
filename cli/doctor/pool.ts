import { join } from 'node:path';
import { toErrorRecord } from '#core/errors';
import type { Census } from '#core/invariants';
import type { Exec } from '#infra/exec';
import type { PoolStatus } from '#infra/volumes/dm-status';
import { lookAtPool, type PoolLook } from '#infra/volumes/pool-look';
import { holdersOfMapped, staleLoops } from '#infra/volumes/pool-strays';
import { broken, type Finding, note, ok, warn } from './finding.ts';

/** From here on a fill is worth a word, and from there it is urgent. */
export const fillWarnShare = 0.8;
const fillUrgentShare = 0.95;
const fix = 'flyd doctor --fix';
const makeRoom = 'flyd gc --max-bytes SIZE, flyd deactivate, flyd rm, or a larger pool';

/** The thin pool of this state directory, and loops over its files. Looks at what is mapped, and maps nothing. */
export async function checkPool(stateDir: string, exec: Exec): Promise<Finding[]> {
  try {
    const loops = (await staleLoops(stateDir)).map(({ path, file, why }) =>
      warn('loop', `${path} over ${file} is stale: ${why}`, fix),
    );
    const look = await lookAtPool(stateDir, exec, 'doctor');
    return look === null ? loops : [...loops, ...judgePool(look)];
  } catch (error) {
    const { message, hint } = toErrorRecord(error);
    return [broken('pool', message, hint ?? `see ${join(stateDir, 'pool/pool.json')}`)];
  }
}

/** What there is to say of a pool as it was found. */
export function judgePool({ record, status, damaged }: PoolLook): Finding[] {
  const trial =
    record.kind === 'loop'
      ? [warn('pool', 'it is on loop files: for trying out', 'flyd pull --pool-data DEV --pool-meta DEV')]
      : [];
  const records = damaged.map(({ id, why }) => broken('pool', `the record of ${id} is damaged: ${why}`));
  if (status === null)
    return [
      ...trial,
      ...records,
      note(
        'pool',
        `${record.dmName} is not mapped now; the next command that needs it maps it`,
        'flyd resume',
      ),
    ];
  return [...trial, ...records, ...judgeMode(record.dmName, status), ...fills(status)];
}

function judgeMode(name: string, { mode, needsCheck, metaUsed, metaTotal }: PoolStatus): Finding[] {
  const full = metaTotal > 0 && metaUsed >= metaTotal;
  if (mode === 'fail')
    return [broken('pool', `${name} has failed: the kernel cannot read its metadata`, fix)];
  if (needsCheck)
    return [
      broken('pool', `${name} is read-only and its metadata needs a check${full ? ': it is full' : ''}`, fix),
    ];
  if (mode === 'ro')
    return [broken('pool', `${name} is read-only${full ? ': its metadata is full' : ''}`, fix)];
  if (mode === 'error') return [warn('pool', `the metadata of ${name} could not be read just now`)];
  if (mode === 'out_of_data_space')
    return [broken('pool data', `${name} is full: what is written to volumes fails`, makeRoom)];
  return [ok('pool', `${name} takes changes`)];
}

const fills = ({ dataUsed, dataTotal, metaUsed, metaTotal, mode }: PoolStatus): Finding[] => [
  ...(mode === 'out_of_data_space' ? [] : [fill('pool data', dataUsed, dataTotal)]),
  fill('pool metadata', metaUsed, metaTotal),
];

function fill(check: string, used: number, total: number): Finding {
  const share = used / Math.max(1, total);
  const says = `${Math.round(100 * share)} % of ${total} blocks used`;
  if (share >= 1) return broken(check, `full: ${says}`, makeRoom);
  if (share >= fillUrgentShare) return warn(check, `nearly full: ${says}`, makeRoom);
  return share > fillWarnShare ? warn(check, says, makeRoom) : ok(check, says);
}

/** What waits to be removed, and who keeps it from going. */
export async function checkHeld(
  { volumes, activations }: Census,
  stateDir: string,
  exec: Exec,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { id, driver, state } of [...volumes, ...activations]) {
    if (state !== 'removing' || driver !== 'devmapper') continue;
    const holders = await holdersOfMapped(stateDir, id, exec);
    if (holders !== null)
      findings.push(
        warn('held', `${id} is to be removed, and ${holders} holds it`, 'end what holds it, then flyd gc'),
      );
  }
  return findings;
}
