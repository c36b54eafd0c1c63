import type { Engine } from '#engine/api';
import type { HistoryRow, RunView } from '#engine/types';
import { durationText } from './output.ts';

/** What a run passed through, as a tree: its states in order, under each what was started there. */
export interface Branch {
  text: string;
  /** How long it took, or has taken so far, in milliseconds; null for a state that a run ended in. */
  ms: number | null;
  note: string;
  children: Branch[];
}

/** Generations of children that are drawn, and states of one run: the newest. */
const depthMax = 6;
const statesMax = 60;

/** The states of a run with their durations. `now`: for what has not ended. */
export function branchesOf(engine: Engine, run: RunView, now: number, depth = 0): Branch[] {
  const rows = engine.history(run.id);
  const end = run.endedAt ?? now;
  const spans = endsOf(rows);
  const children = new Map(engine.children(run.id).map(({ childId, run: child }) => [childId, child]));
  const states: (Branch & { since: number })[] = [];
  for (const [index, { seq, at, from, to, effects, error }] of rows.entries()) {
    let state = states.at(-1);
    if (state === undefined || state.text !== to || from !== to) {
      if (state !== undefined) state.ms = at - state.since;
      state = { text: to, ms: null, note: '', children: [], since: at };
      states.push(state);
    } else if (error !== null) state.note = failuresText(rows, index);
    for (const effect of effects) {
      const [src = '', id = src] = effect.split('#');
      const child = children.get(id);
      const over = spans.get(`${seq} ${id}`) ?? null;
      if (child === undefined)
        state.children.push({ text: id, ms: (over?.at ?? end) - at, note: over?.note ?? '', children: [] });
      else
        state.children.push({
          text: `${id} (${child.machine})`,
          ms: (child.endedAt ?? end) - child.createdAt,
          note: `${child.status}, run ${child.id}`,
          children: depth < depthMax ? branchesOf(engine, child, now, depth + 1) : [],
        });
    }
  }
  const last = states.at(-1);
  if (last !== undefined && run.endedAt === null) last.ms = now - last.since;
  for (const state of states) foldSingle(state);
  const hidden = states.length - statesMax;
  if (hidden <= 0) return states;
  return [
    { text: `... ${hidden} states before`, ms: null, note: '', children: [] },
    ...states.slice(-statesMax),
  ];
}

/** A state with one effect, which it is there for, is one line. */
function foldSingle(state: Branch): void {
  const [only, ...others] = state.children;
  if (only === undefined || others.length > 0 || only.children.length > 0) return;
  const notes = [only.text, only.note, state.note].filter((note) => note !== '');
  state.note = notes.join(' · ');
  state.children = [];
}

/** When what a commit started was over, by the commit and its id. */
function endsOf(rows: readonly HistoryRow[]): Map<string, { at: number; note: string }> {
  const open = new Map<string, number>();
  const ends = new Map<string, { at: number; note: string }>();
  for (const { seq, at, event, effects, error, from, to } of rows) {
    const [, how, id = ''] = /^xstate\.(done|error)\.actor\.(.+)$/.exec(event) ?? [];
    const started = open.get(id);
    if (started !== undefined) {
      ends.set(`${started} ${id}`, { at, note: how === 'error' ? `failed: ${error?.message ?? ''}` : '' });
      open.delete(id);
    }
    for (const effect of effects) {
      const [src = '', name = src] = effect.split('#');
      open.set(name, seq);
    }
    if (from !== to && from !== null)
      for (const [name, since] of open)
        if (since < seq && !effects.some((effect) => effect.endsWith(name))) {
          // Left with its state; a child that its parent keeps has an end of its own.
          ends.set(`${since} ${name}`, { at, note: '' });
        }
  }
  return ends;
}

function failuresText(rows: readonly HistoryRow[], upTo: number): string {
  const { to, error } = rows[upTo] as HistoryRow;
  let attempts = 0;
  for (let at = upTo; at >= 0; at--) {
    const row = rows[at] as HistoryRow;
    if (row.to !== to || row.from !== to) break;
    if (row.error !== null) attempts++;
  }
  return `${attempts} failed ${attempts === 1 ? 'attempt' : 'attempts'}, the last: ${error?.message ?? ''}`;
}

/** Lines of the tree, durations in one column. */
export function treeLines(branches: readonly Branch[]): string[] {
  const rows: { left: string; branch: Branch }[] = [];
  const walk = (each: readonly Branch[], indent: string, top: boolean): void => {
    for (const [index, branch] of each.entries()) {
      const last = index === each.length - 1;
      rows.push({ left: `${indent}${top ? '' : last ? '└ ' : '├ '}${branch.text}`, branch });
      walk(branch.children, top ? indent : `${indent}${last ? '  ' : '│ '}`, false);
    }
  };
  walk(branches, '', true);
  const width = Math.min(60, Math.max(0, ...rows.map(({ left }) => left.length)));
  return rows.map(({ left, branch: { ms, note } }) =>
    `${left.padEnd(width)}  ${(ms === null ? '' : durationText(ms)).padStart(10)}  ${note}`.trimEnd(),
  );
}
