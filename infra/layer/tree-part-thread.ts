import { type ErrorRecord, toErrorRecord } from '#core/errors';
import type { ApplyLimits, ApplyTarget } from './apply.ts';
import type { LayerWarning } from './report.ts';
import { RingReader } from './ring.ts';
import { type SharedRing, stopRing } from './ring-memory.ts';
import { BlockReader } from './source.ts';
import { makeTreePart, settleTreePart } from './tree-part.ts';

export type TreePartJob = { folder: string; limits: ApplyLimits } & (
  | { ring: SharedRing }
  | { target: ApplyTarget }
);

export type TreePartAnswer =
  | { ok: true; applied: { entries: number; bytes: number; warnings: LayerWarning[] } | null }
  | { ok: false; error: ErrorRecord };

function work(job: TreePartJob): TreePartAnswer {
  const { folder, limits } = job;
  if ('target' in job) {
    const applied = settleTreePart(folder, job.target, limits);
    if (applied === null) return { ok: true, applied };
    const { entries, bytes, report } = applied;
    return { ok: true, applied: { entries, bytes, warnings: report.warnings } };
  }
  const source = new RingReader(job.ring);
  makeTreePart(new BlockReader(source), folder, limits, (count) => source.atEntry(count));
  return { ok: true, applied: null };
}

/** In a thread of its own: unpacks what comes through a ring into a part, or puts a part onto the layers below. */
export function run(job: TreePartJob): TreePartAnswer {
  try {
    return work(job);
  } catch (error) {
    // Whoever writes into the ring goes on without.
    if ('ring' in job) stopRing(job.ring);
    return { ok: false, error: toErrorRecord(error) };
  }
}
