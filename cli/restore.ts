import { isInPlace } from '#infra/activation-place';
import type { RestoreReport } from '#machines/restore';
import type { Workbench } from './compose.ts';
import { errorLines, type Output } from './output.ts';

/** Starts the run that brings back what a reboot took; null when nothing is missing. */
export async function startRestore({ engine, machines, images }: Workbench): Promise<string | null> {
  for (const row of images.activations.settled())
    if (!(await isInPlace(row))) return (await engine.start(machines.restore, { input: {} })).id;
  return null;
}

/** What a restoration did, line by line. */
export function sayRestored({ pool, restored, removed, failed }: RestoreReport, out: Output): void {
  if (pool !== null && pool.attached.length > 0) out.say(`attached ${pool.attached.join(' and ')}`);
  if (pool?.mapped === true) out.say(`mapped the pool ${pool.name}`);
  if (restored.length > 0) out.say(`mounted again: ${restored.join(', ')}`);
  if (removed.length > 0) out.say(`removed, being ephemeral: ${removed.join(', ')}`);
  for (const { id, error } of failed) {
    out.note(`flyd: ${id} could not be brought back`);
    for (const line of errorLines(error)) out.note(line);
  }
}
