import { type ErrorRecord, toErrorRecord } from '#core/errors';
import { applyToImage, type ImageTarget } from '../erofs/apply.ts';
import { type ApplyLimits, type ApplyTarget, applyLayer } from './apply.ts';
import type { LayerWarning } from './report.ts';
import { RingBroken, RingReader, RingStopped } from './ring.ts';
import type { SharedRing } from './ring-memory.ts';
import { BlockReader } from './source.ts';

export interface ApplyJob {
  target: ApplyTarget | ImageTarget;
  limits: ApplyLimits;
  ring: SharedRing;
}

export type ApplyAnswer =
  | { ok: true; entries: number; bytes: number; warnings: LayerWarning[] }
  /** With `error: null` it was stopped, or the other thread has the reason. */
  | { ok: false; error: ErrorRecord | null };

/** In a thread of its own: reads raw tar from the ring and writes the tree or the image. */
export function run({ target, limits, ring }: ApplyJob): ApplyAnswer {
  const source = new RingReader(ring);
  try {
    const blocks = new BlockReader(source);
    const onEntry = (count: number) => source.atEntry(count);
    const { entries, bytes, report } =
      target.form === 'image'
        ? applyToImage(blocks, target, limits, onEntry)
        : applyLayer(blocks, target, limits, onEntry);
    return { ok: true, entries, bytes, warnings: report.warnings };
  } catch (error) {
    const elsewhere = error instanceof RingStopped || error instanceof RingBroken;
    return { ok: false, error: elsewhere ? null : toErrorRecord(error) };
  }
}
