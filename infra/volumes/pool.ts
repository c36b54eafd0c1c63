import { join } from 'node:path';
import { unrecoverable } from '#core/errors';
import { makeRoom } from '#core/pool-fill';
import { isMetadataFull, type PoolStatus, parsePoolStatus } from './dm-status.ts';
import { ensurePrivate } from './folders.ts';
import { withLock } from './lock.ts';
import { checkOptions, planPool } from './pool-plan.ts';
import { moreMetadata, type PoolRecord, readPoolRecord, writePoolRecord } from './pool-record.ts';
import { bringUp, findAdopted, type LivePool, type PoolDependencies, wakeVolumes } from './pool-set-up.ts';

export interface Pool {
  /** The record of the pool, or null when none was made. */
  record(): Promise<PoolRecord | null>;
  /** Makes the pool if there is none; after a reboot attaches and maps it anew. Cheap when it is there. */
  ready(op: string): Promise<LivePool>;
  status(op: string): Promise<PoolStatus>;
  /** Throws `pool_broken` unless the pool takes changes, and `no_space` when it is full and room is needed (default). */
  assertHealthy(op: string, needs?: 'room' | 'changes'): Promise<PoolStatus>;
  /** Runs `work` while no other process changes the pool's set-up. */
  locked<T>(op: string, work: () => Promise<T>): Promise<T>;
}

/** The thin pool of a state directory. Errors: `pool_missing`, `pool_refused`, `pool_broken`, `usage`. */
export function createPool(dependencies: PoolDependencies): Pool {
  const { folder, options, dm, log } = dependencies;
  /** This process has compared the mapped pool with its record. */
  let verified = false;

  const locked: Pool['locked'] = async (op, work) => {
    await ensurePrivate(folder);
    return withLock(join(folder, 'lock'), op, work);
  };

  const setUp = async (op: string): Promise<LivePool> => {
    let record = await readPoolRecord(folder);
    if (record === null) {
      record = await planPool({ ...dependencies, op });
      for (const warning of record.warnings) log?.warn({ pool: record.dmName }, warning);
      await writePoolRecord(folder, record);
    }
    checkOptions(record, options, op);
    if (record.kind === 'adopted') return findAdopted(record, dm, op);
    return bringUp(record, dependencies, op);
  };

  /** The pool when it is up and was finished: then no lock is needed. */
  const findUp = async (op: string): Promise<LivePool | null> => {
    const record = await readPoolRecord(folder);
    if (record === null || record.state === 'creating') return null;
    checkOptions(record, options, op);
    const device = verified ? await dm.findByName(record.dmName) : null;
    const up = device?.live === true && !device.suspended && device.uuid === record.dmUuid;
    return up ? { record, dev: device.dev } : null;
  };

  const pool: Pool = {
    record: () => readPoolRecord(folder),
    locked,

    async ready(op) {
      const up = await findUp(op);
      if (up !== null) return up;
      const made = await locked(op, () => setUp(op));
      await wakeVolumes(made.record, dm, op);
      verified = true;
      return made;
    },

    async status(op) {
      const { record } = await pool.ready(op);
      const line = await dm.status(record.dmName, op);
      const status = line === null ? null : parsePoolStatus(line.args);
      if (status === null)
        throw unrecoverable('pool_broken', `the status of ${record.dmName} makes no sense`, {
          op,
          subject: record.dmName,
        });
      return status;
    },

    async assertHealthy(op, needs = 'room') {
      const { record } = await pool.ready(op);
      const { dmName } = record;
      const status = await pool.status(op);
      if (isMetadataFull(status))
        throw unrecoverable('no_space', `the pool ${dmName} is read-only: it has no metadata space left`, {
          op,
          subject: dmName,
          hint: moreMetadata(record),
        });
      if (status.mode === 'rw' && !status.needsCheck) return status;
      // Whoever removes something from a full pool must be let in.
      if (status.mode === 'out_of_data_space' && needs === 'changes') return status;
      if (status.mode === 'out_of_data_space')
        throw unrecoverable('no_space', `the pool ${dmName} has no data space left`, {
          op,
          subject: dmName,
          hint: `make room: ${makeRoom}`,
        });
      throw unrecoverable('pool_broken', `the pool ${dmName} is ${brokenWords(status)}`, {
        op,
        subject: dmName,
        hint: 'flyd doctor --fix checks it and brings it back',
        facts: { mode: status.mode, needsCheck: status.needsCheck },
      });
    },
  };
  return pool;
}

function brokenWords({ mode, needsCheck }: PoolStatus): string {
  if (mode === 'fail') return 'in fail mode';
  if (mode === 'error') return 'unable to read its metadata';
  if (needsCheck) return 'read-only and needs a check';
  return 'read-only';
}
