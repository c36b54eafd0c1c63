import { setTimeout as sleep } from 'node:timers/promises';
import { isTerminal } from '#core/status';
import type { ProgressEntry } from '#infra/progress-board';
import { type RunSummary, summaryOf } from '#services/dashboard/summary';
import { exitCodes, exitOfSignal } from './exit.ts';
import { findRun } from './find-run.ts';
import { type Looking, openLooking } from './looking.ts';
import { bytesText, durationText, type Output, oneLine } from './output.ts';
import type { Session } from './session.ts';
import { watchSignals } from './signals.ts';

const lookMs = 250;
/** Lines that a terminal gets: more would scroll, and could not be drawn over. */
const linesMax = 40;
/** Runs that have ended stay in sight for so long. */
const lingerMs = 10_000;

/**
 * `flyd runs watch`: what has not ended, live, until a signal; of one run and those below it, until it has
 * ended. On a terminal it draws over itself; else each change is a line, with `--json` an object a line.
 */
export async function watchRuns(session: Session, wanted: string | undefined): Promise<number> {
  const { out } = session;
  const look = await openLooking(session);
  const stop = watchSignals(() => {});
  const screen = createScreen(out);
  try {
    const root = wanted === undefined ? null : findRun(look.engine, wanted).id;
    for (;;) {
      // Looked at first: the rows then show its end, too.
      const run = root === null ? null : look.engine.run(root);
      screen.show(rowsOf(look, root, Date.now()), look.progress());
      if (run !== null && isTerminal(run.status))
        return run.status === 'done'
          ? exitCodes.done
          : run.status === 'cancelled'
            ? exitCodes.cancelled
            : exitCodes.failed;
      await sleep(lookMs, undefined, { signal: stop.signal }).catch(() => undefined);
      const signal = stop.received();
      if (signal !== null) return exitOfSignal(signal);
    }
  } finally {
    stop.dispose();
    look.close();
  }
}

interface Row {
  run: RunSummary;
  depth: number;
}

/** Parents before their children; a run with two parents stands under the first. */
function rowsOf({ engine, watch, isAlive }: Looking, root: string | null, now: number): Row[] {
  const runs = new Map<string, RunSummary>();
  const add = (id: string): void => {
    if (!runs.has(id)) runs.set(id, summaryOf(engine.run(id), isAlive));
  };
  if (root === null)
    for (const { uid } of watch.live()) {
      add(uid);
      for (const { run } of engine.children(uid)) if (now - (run.endedAt ?? now) < lingerMs) add(run.id);
    }
  else {
    const queue = [root];
    for (const id of queue) {
      add(id);
      queue.push(
        ...engine
          .children(id)
          .map(({ run }) => run.id)
          .filter((child) => !runs.has(child)),
      );
    }
  }
  const rows: Row[] = [];
  const seen = new Set<string>();
  const place = (run: RunSummary, depth: number): void => {
    if (seen.has(run.id)) return;
    seen.add(run.id);
    rows.push({ run, depth });
    for (const child of runs.values()) if (child.parents.includes(run.id)) place(child, depth + 1);
  };
  for (const run of runs.values()) if (!run.parents.some((parent) => runs.has(parent))) place(run, 0);
  return rows;
}

function createScreen(out: Output): { show(rows: readonly Row[], progress: readonly ProgressEntry[]): void } {
  if (out.live && !out.json) return liveScreen(out);
  const told = new Map<string, string>();
  return {
    show(rows) {
      for (const { run } of rows) {
        const text = `${run.status} ${run.state} ${run.attempts} ${run.owner}`;
        if (told.get(run.id) === text) continue;
        told.set(run.id, text);
        const at = new Date(run.updatedAt).toISOString();
        if (out.json) out.line({ ...run, updatedAt: at });
        else out.say(`${at}  ${run.id}  ${lineOf({ run, depth: 0 }, null, 200)}`);
      }
    },
  };
}

function liveScreen(out: Output) {
  let drawn = 0;
  return {
    show(rows: readonly Row[], progress: readonly ProgressEntry[]): void {
      const columns = out.columns();
      const lines = rows.slice(0, linesMax).map((row) => {
        const share = progress.find(({ run, unit }) => run === row.run.id && unit !== 'entries') ?? null;
        return lineOf(row, share, columns);
      });
      if (rows.length > linesMax) lines.push(`... and ${rows.length - linesMax} more`);
      if (rows.length === 0) lines.push('nothing is under way');
      const up = drawn === 0 ? '' : `\x1b[${drawn}A`;
      out.raw(`${up}${lines.map((line) => `\x1b[2K${line.slice(0, columns - 1)}\n`).join('')}\x1b[J`);
      drawn = lines.length;
    },
  };
}

function lineOf({ run, depth }: Row, share: ProgressEntry | null, columns: number): string {
  const name = `${'  '.repeat(depth)}${run.machine} ${oneLine(run.about)}`;
  const nameWidth = columns > 110 ? 40 : 28;
  const status = run.owner === 'dead' ? 'orphaned' : run.attempts > 0 ? 'retrying' : run.status;
  const took = durationText((run.endedAt ?? Date.now()) - run.createdAt);
  const trouble =
    run.error === null
      ? ''
      : `  ${run.attempts > 0 ? `attempt ${run.attempts}: ` : ''}${oneLine(run.error.message)}`;
  return `${name.slice(0, nameWidth).padEnd(nameWidth)} ${status.padEnd(9)} ${run.state.padEnd(12)} ${took.padStart(10)}  ${shareText(share)}${trouble}`.trimEnd();
}

function shareText(share: ProgressEntry | null): string {
  if (share === null) return '';
  const { done, total } = share;
  if (total === null || total === 0) return bytesText(done);
  const full = Math.round(Math.min(1, done / total) * 12);
  return `[${'#'.repeat(full)}${'-'.repeat(12 - full)}] ${bytesText(done)} of ${bytesText(total)}`;
}
