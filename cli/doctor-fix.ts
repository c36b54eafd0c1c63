import type { RepairReport } from '#machines/repair';
import type { RestoreReport } from '#machines/restore';
import { openWorkbench } from './compose.ts';
import { exitCodes } from './exit.ts';
import { follow } from './follow.ts';
import { errorDocument, errorLines, oneLine } from './output.ts';
import { sayRestored, startRestore } from './restore.ts';
import type { Session } from './session.ts';
import { watchSignals } from './signals.ts';
import { findViolations } from './verify-work.ts';

/** `flyd doctor --fix`: mends what can be mended without losing data, then says what is still wrong. */
export async function mend(session: Session): Promise<number> {
  const { out } = session;
  const bench = await openWorkbench(session);
  const stop = watchSignals((signal) => out.note(`${signal}: stopping; again to stop at once`));
  const options = { out, stop, noWait: true, progress: false };
  let repaired: RepairReport | null = null;
  let restored: RestoreReport | null = null;
  try {
    const { engine, machines } = bench;
    const { id } = await engine.start(machines.repair, { input: {} });
    const repair = await follow(engine, id, options);
    if (repair.status === 'done') repaired = repair.output as unknown as RepairReport;
    else if (repair.error !== null) for (const line of errorLines(repair.error)) out.note(line);
    const restore = stop.received() === null ? await startRestore(bench) : null;
    if (restore !== null) {
      const view = await follow(engine, restore, options);
      if (view.status === 'done') restored = view.output as unknown as RestoreReport;
    }
  } finally {
    stop.dispose();
    await bench.close();
  }
  const { violations, leftovers } = await findViolations(session);
  const failed = [...(repaired?.failed ?? [])];
  const ok = repaired !== null && failed.length === 0 && violations.length === 0;
  out.document({
    ok,
    done: repaired?.done ?? [],
    restored,
    failed: failed.map(({ what, error }) => ({ what, error: errorDocument(error) })),
    violations,
    leftovers,
  });
  for (const line of repaired?.done ?? []) out.say(`mended    ${oneLine(line)}`);
  if (restored !== null) sayRestored(restored, out);
  for (const { what, error } of failed) {
    out.note(`flyd: could not mend ${what}`);
    for (const line of errorLines(error)) out.note(line);
  }
  for (const { invariant, subject, says, fix } of violations)
    out.say(
      `broken    ${invariant}  ${oneLine(subject)}: ${oneLine(says)}${fix === null ? '' : `  -> ${fix}`}`,
    );
  if (leftovers.length > 0) out.say(`${leftovers.length} leftovers  -> flyd gc`);
  if (ok) out.say('database and world agree');
  return ok ? exitCodes.done : exitCodes.failed;
}
