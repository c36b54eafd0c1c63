import type { SweepReport } from '#machines/sweep';
import { openWorkbench } from './compose.ts';
import { bytesText } from './output.ts';
import { seeThrough } from './resume-work.ts';
import type { Session } from './session.ts';

/** `flyd gc`. */
export async function collect(session: Session): Promise<number> {
  const bench = await openWorkbench(session);
  try {
    const { id } = await bench.engine.start(bench.machines.sweep, { input: {} });
    return await seeThrough(session, bench, id, { noWait: true }, ({ output }) =>
      session.out.say(sweptText(output as unknown as SweepReport)),
    );
  } finally {
    await bench.close();
  }
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
