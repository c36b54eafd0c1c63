import type { SweepInput, SweepReport } from '#machines/sweep';
import { openWorkbench } from './compose.ts';
import type { GcFlags } from './gc.ts';
import { bytesText, oneLine } from './output.ts';
import { seeThrough } from './resume-work.ts';
import type { Session } from './session.ts';

/** `flyd gc`. */
export async function collect(session: Session, flags: GcFlags): Promise<number> {
  const bench = await openWorkbench(session, { freesRoom: true });
  try {
    const { id } = await bench.engine.start(bench.machines.sweep, { input: inputOf(flags) });
    return await seeThrough(session, bench, id, { noWait: true }, ({ output }) => {
      const report = output as unknown as SweepReport;
      for (const image of report.evicted ?? [])
        session.out.say(`evicted ${image.id}  ${oneLine(image.family)}`);
      if (report.bytesKept !== undefined) session.out.say(`${bytesText(report.bytesKept)} stay in use`);
      session.out.say(sweptText(report));
    });
  } finally {
    await bench.close();
  }
}

function inputOf({ maxBytes, keepWithin }: GcFlags): SweepInput {
  if (maxBytes === undefined && keepWithin === undefined) return {};
  return { evict: { maxBytes: maxBytes ?? null, keepWithinMs: keepWithin ?? null } };
}

/** What a sweep removed, in one line. */
export function sweptText({ blobs, volumes, activations, partials, bytes }: SweepReport): string {
  const parts = [
    [blobs, 'blobs'],
    [volumes, 'volumes'],
    [activations, 'activations'],
    [partials, 'partial downloads'],
  ] as const;
  const removed = parts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  return removed.length === 0 ? 'nothing to remove' : `removed ${removed.join(', ')} (${bytesText(bytes)})`;
}
