import { join } from 'node:path';
import { toErrorRecord } from '#core/errors';
import type { Census } from '#core/invariants';
import { judgeFill, makeRoom, type WarnAt } from '#core/pool-fill';
import type { Exec } from '#infra/exec';
import { ailingActivations } from '#infra/volumes/ailing';
import { isMetadataFull, type PoolStatus } from '#infra/volumes/dm-status';
import { lookAtPool, type PoolLook } from '#infra/volumes/pool-look';
import { moreMetadata, type PoolRecord } from '#infra/volumes/pool-record';
import { holdersOfMapped, staleLoops } from '#infra/volumes/pool-strays';
import { broken, type Finding, note, ok, warn } from './finding.ts';

const fix = 'flyd doctor --fix';

/** The thin pool of this state directory, and loops over its files. Looks at what is mapped, and maps nothing. */
export async function checkPool(stateDir: string, exec: Exec, warnAt: WarnAt): Promise<Finding[]> {
  try {
    const loops = (await staleLoops(stateDir)).map(({ path, file, why }) =>
      warn('loop', `${path} over ${file} is stale: ${why}`, fix),
    );
    const look = await lookAtPool(stateDir, exec, 'doctor');
    if (look === null) return loops;
    const ailing = (await ailingActivations(stateDir, exec)).map(({ id, readOnly }) =>
      warn(
        'activation',
        `the file system of ${id} has met errors${readOnly ? ' and is read-only' : ''}`,
        fix,
      ),
    );
    return [...loops, ...judgePool(look, warnAt), ...ailing];
  } catch (error) {
    const { message, hint } = toErrorRecord(error);
    return [broken('pool', message, hint ?? `see ${join(stateDir, 'pool/pool.json')}`)];
  }
}

/** What there is to say of a pool as it was found. */
export function judgePool(look: PoolLook, warnAt: WarnAt): Finding[] {
  const { record, status, damaged } = look;
  const trial =
    record.kind === 'loop'
      ? [warn('pool', 'it is on loop files: for trying out', 'flyd pull --pool-data DEV --pool-meta DEV')]
      : [];
  const records = damaged.map(({ id, why }) => broken('pool', `the record of ${id} is damaged: ${why}`));
  if (look.needsCheck)
    return [
      ...trial,
      ...records,
      broken('pool', `the metadata of ${record.dmName} needs a check before it can be mapped`, fix),
    ];
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
  return [...trial, ...records, ...judgeMode(record, status), ...fills(status, warnAt)];
}

function judgeMode(record: PoolRecord, status: PoolStatus): Finding[] {
  const { dmName: name } = record;
  const { mode, needsCheck, metaUsed, metaTotal } = status;
  const full = metaTotal > 0 && metaUsed >= metaTotal;
  if (mode === 'fail')
    return [broken('pool', `${name} has failed: the kernel cannot read its metadata`, fix)];
  if (needsCheck)
    return [
      broken('pool', `${name} is read-only and its metadata needs a check${full ? ': it is full' : ''}`, fix),
    ];
  if (isMetadataFull(status))
    return [broken('pool', `${name} is read-only: its metadata is full`, moreMetadata(record))];
  if (mode === 'ro') return [broken('pool', `${name} is read-only`, fix)];
  if (mode === 'error') return [warn('pool', `the metadata of ${name} could not be read just now`)];
  if (mode === 'out_of_data_space')
    return [
      broken(
        'pool data',
        `${name} is full: what is written to volumes ${status.errorIfFull ? 'fails' : 'waits for room, then fails'}`,
        makeRoom,
      ),
    ];
  return [ok('pool', `${name} takes changes`)];
}

function fills(status: PoolStatus, warnAt: WarnAt): Finding[] {
  const { dataUsed, dataTotal, metaUsed, metaTotal, mode } = status;
  const data = { what: 'pool data', free: dataTotal - dataUsed, total: dataTotal };
  const metadata = { what: 'pool metadata', free: metaTotal - metaUsed, total: metaTotal };
  return (mode === 'out_of_data_space' ? [metadata] : [data, metadata]).map((row) => {
    const { level, percent } = judgeFill(row, warnAt);
    const says = `${percent} % of ${row.total} blocks used`;
    if (level === 'low') return ok(row.what, says);
    if (level === 'full') return broken(row.what, `full: ${says}`, makeRoom);
    return warn(row.what, level === 'urgent' ? `nearly full: ${says}` : says, makeRoom);
  });
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
