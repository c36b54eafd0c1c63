import { type ErrorRecord, toErrorRecord } from '#core/errors';
import type { ApplyLimits } from '../layer/apply.ts';
import type { LayerWarning } from '../layer/report.ts';
import { RingReader } from '../layer/ring.ts';
import { type SharedRing, stopRing } from '../layer/ring-memory.ts';
import { BlockReader } from '../layer/source.ts';
import type { ImageTarget } from './apply.ts';
import { finishPart, makePart } from './part.ts';

export type PartJob =
  | { make: { path: string; ring: SharedRing }; limits: ApplyLimits }
  | { finish: ImageTarget; limits: ApplyLimits };

export type PartAnswer =
  | { ok: true; entries: number; bytes: number; warnings: LayerWarning[] }
  | { ok: false; error: ErrorRecord };

/** The thread that makes a part of what comes through a ring, or an image of a part. */
export function run(job: PartJob): PartAnswer {
  try {
    if ('finish' in job) {
      const { entries, bytes, report } = finishPart(job.finish, job.limits);
      return { ok: true, entries, bytes, warnings: report.warnings };
    }
    const source = new RingReader(job.make.ring);
    makePart(new BlockReader(source), job.make.path, job.limits, (count) => source.atEntry(count));
    return { ok: true, entries: 0, bytes: 0, warnings: [] };
  } catch (error) {
    // Whoever writes into the ring goes on without.
    if ('make' in job) stopRing(job.make.ring);
    return { ok: false, error: toErrorRecord(error) };
  }
}
