import type { ErrorRecord } from '#core/errors';
import type { RunStatus } from '#core/status';
import { withCopy } from '#db/copy';
import { createReads, engineSet } from '#db/engine/index';
import { checkRuns } from './check-runs.ts';
import type { Definition } from './definition.ts';
import { createRegistry } from './registry.ts';

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

/**
 * What an upgrade to these machines would make of the live runs of a database, tried on a copy of it: the
 * file is only read, and may be in use, and may be of an earlier version than this build's.
 */
export const checkDatabase = (path: string, machines: readonly Definition[]): CheckedRun[] => {
  const registry = createRegistry(machines);
  return withCopy(path, [engineSet], (db) => checkRuns(createReads(db), registry));
};
