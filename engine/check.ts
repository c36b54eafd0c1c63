import { type ErrorRecord, toErrorRecord } from '#core/errors';
import type { RunStatus } from '#core/status';
import { withCopy } from '#db/copy';
import { createReads, engineSet, type Reads } from '#db/engine/index';
import type { Definition } from './definition.ts';
import { fitRun } from './load.ts';
import { createRegistry, type Registry } from './registry.ts';

/** Whether this build can carry a live run on. */
export interface CheckedRun {
  id: string;
  machine: string;
  /** Of the machine that wrote it. */
  version: number;
  state: string;
  status: RunStatus;
  /**
   * `same`: the very definition that wrote it. `fits`: another one of its version, into which its snapshot
   * fits. `migrates`: a migration makes it one of this version. `refused`: it would be parked.
   * `unknown`: there is no machine of its name, and nobody would move it.
   */
  verdict: 'same' | 'fits' | 'migrates' | 'refused' | 'unknown';
  /** Why it is refused, with what to do. */
  error: ErrorRecord | null;
}

export const canGoOn = ({ verdict }: CheckedRun): boolean => verdict !== 'refused' && verdict !== 'unknown';

/** Tries every live run on the machines of this build, oldest first. Nothing is written, and nothing moved. */
export function checkRuns(reads: Reads, registry: Registry): CheckedRun[] {
  return reads.runs({ live: true }).map((row) => {
    const { uid: id, machine, version, state, status } = row;
    const said = { id, machine, version, state, status, error: null };
    const known = registry.find(machine);
    if (known === undefined) return { ...said, verdict: 'unknown' };
    try {
      fitRun(row, { reads, registry });
    } catch (thrown) {
      return { ...said, verdict: 'refused', error: toErrorRecord(thrown) };
    }
    if (version !== known.definition.version) return { ...said, verdict: 'migrates' };
    return { ...said, verdict: row.definition === known.hash ? 'same' : 'fits' };
  });
}

/**
 * What an upgrade to these machines would make of the live runs of a database, tried on a copy of it: the
 * file is only read, and may be in use, and may be of an earlier version than this build's.
 */
export const checkDatabase = (path: string, machines: readonly Definition[]): CheckedRun[] => {
  const registry = createRegistry(machines);
  return withCopy(path, [engineSet], (db) => checkRuns(createReads(db), registry));
};
