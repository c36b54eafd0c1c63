import { unrecoverable } from '#core/errors';
import type { Reads, RunRow, TransitionRow } from '#db/engine/index';
import type { Definition } from './definition.ts';
import type { MachineEvent } from './statechart.ts';
import type { Json } from './types.ts';
import { snapshotAt } from './views.ts';

/** How a run stood after one of its commits: all that is needed to go on from there. */
export interface Past {
  seq: number;
  snapshot: Json;
  /** Effects and child runs that were under way. */
  children: { child: string; src: string; input: Json }[];
  /** With the time that each had left. */
  timers: { timer: string; event: MachineEvent; delayMs: number }[];
}

type Rows = readonly TransitionRow[];

/** How the run stood after commit `seq`, for the definition that this build has. Throws `run_not_found` when there is no such commit, `reset_refused` when it had ended by then. */
export function pastOf(reads: Reads, row: RunRow, seq: number, definition: Definition): Past {
  const snapshot = snapshotAt(reads, row, seq) as { status?: Json; children?: Json };
  if (snapshot.status !== 'active') throw refusal(row, `at ${seq} the run had ended`);
  const rows = reads.history(row.id).filter((entry) => entry.seq <= seq);
  const at = rows.at(-1);
  return {
    seq,
    snapshot: migrated(snapshot as Json, at, reads, definition),
    children: underWay(rows, (snapshot.children ?? {}) as PersistedChildren),
    timers: ((at?.timers ? JSON.parse(at.timers) : []) as StoredTimer[]).map(({ timer, event, dueAt }) => ({
      timer,
      event,
      delayMs: Math.max(0, dueAt - (at?.at ?? dueAt)),
    })),
  };
}

/**
 * The point of its history that a run can be set back to: `from`, or, for a run that has failed, the moment
 * before. Refused when something that was under way then was finished later, for it would be done twice; and,
 * without a `from`, when something was finished since, which is likely to be compensation.
 */
export function resetPoint(
  reads: Reads,
  row: RunRow,
  from: number | undefined,
  definition: Definition,
): Past {
  const rows = reads.history(row.id);
  const seq = from ?? momentBefore(row, rows);
  const past = pastOf(reads, row, seq, definition);
  const open = new Set(past.children.map(({ child }) => child));
  for (const { seq: later, event, effects } of rows) {
    if (later <= seq) continue;
    const child = childDone(event);
    if (child !== null && open.has(child))
      throw refusal(
        row,
        `what was under way at ${seq}, '${child}', was finished at ${later}: it would be done twice`,
      );
    const started = (JSON.parse(effects) as string[]).map(childOf);
    // What a run was set back to is done in its place; what it started by itself is something else.
    for (const name of [...open]) if (started.includes(name) !== isRestart(event)) open.delete(name);
  }
  return past;
}

/** A snapshot that another version wrote is migrated where that can be; whether it fits is judged when the run goes on from it. */
function migrated(
  snapshot: Json,
  at: TransitionRow | undefined,
  reads: Reads,
  { version, migrate }: Definition,
): Json {
  const written = at === undefined ? undefined : reads.definition(at.definition)?.version;
  const migration = written === undefined || written === version ? undefined : migrate[written];
  return migration === undefined ? snapshot : migration(structuredClone(snapshot));
}

function momentBefore(row: RunRow, rows: Rows): number {
  const [before, last] = rows.slice(-2);
  if (before === undefined || last === undefined)
    throw refusal(row, 'it failed in its first step: start it anew');
  if (childDone(last.event) !== null)
    throw refusal(
      row,
      'it failed after it had finished something, such as compensation: say from which commit',
    );
  return before.seq;
}

interface StoredTimer {
  timer: string;
  event: MachineEvent;
  dueAt: number;
}

type PersistedChildren = { [child: string]: { src: string; snapshot: { input?: Json } } };

/** The snapshot names every child that was not stopped; which of them had given their result, the events tell. */
function underWay(rows: Rows, children: PersistedChildren): Past['children'] {
  const first = rows[0];
  // What was started before the oldest row that is kept is taken to be under way, unless a row says that it is over.
  const open = new Set(first === undefined || first.seq === 1 ? [] : Object.keys(children));
  for (const { event, effects } of rows) {
    if (isRestart(event)) open.clear();
    const over = /^xstate\.(?:done|error)\.actor\.(.+)$/s.exec(typeOf(event))?.[1];
    if (over !== undefined) open.delete(over);
    for (const name of JSON.parse(effects) as string[]) open.add(childOf(name));
  }
  return Object.entries(children).flatMap(([child, { src, snapshot }]) =>
    open.has(child) ? [{ child, src, input: snapshot.input ?? null }] : [],
  );
}

const typeOf = (event: string): string => (JSON.parse(event) as MachineEvent).type;
const isRestart = (event: string): boolean => /^flyd\.(?:reset|fork)$/.test(typeOf(event));
const childDone = (event: string): string | null =>
  /^xstate\.done\.actor\.(.+)$/s.exec(typeOf(event))?.[1] ?? null;
/** Of `src` or `src#child`, as the history names what was started. */
const childOf = (name: string): string => name.slice(name.indexOf('#') + 1);

const refusal = ({ uid }: RunRow, why: string) =>
  unrecoverable('reset_refused', `the run cannot go back: ${why}`, {
    subject: uid,
    hint: 'choose another commit of its history, or fork the run there',
  });
