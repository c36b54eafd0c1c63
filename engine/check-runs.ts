import { toErrorRecord } from '#core/errors';
import type { Reads } from '#db/engine/index';
import type { CheckedRun } from './check.ts';
import { fitRun } from './load.ts';
import type { Registry } from './registry.ts';

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
