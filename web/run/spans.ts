import type { Commit } from '../data/types.ts';

/** A bar of the timeline. Times are milliseconds since 1970. */
export interface Bar {
  from: number;
  to: number;
  /** `run`: it ran; `wait`: it waited to be tried again. */
  kind: 'state' | 'run' | 'wait';
  outcome: 'done' | 'failed' | 'live' | 'left';
  label: string;
  seq: number;
}

export interface Lane {
  name: string;
  bars: Bar[];
}

/** What ran when: the states in the first lane, then a lane for each effect and child, in order of their start. */
export function lanesOf(commits: readonly Commit[], endedAt: number | null, now: number): Lane[] {
  const until = endedAt ?? now;
  const states: Bar[] = [];
  const lanes = new Map<string, Bar[]>();
  const open = new Map<string, Bar>();
  const laneOf = (name: string): Bar[] => {
    const known = lanes.get(name) ?? [];
    lanes.set(name, known);
    return known;
  };
  for (const { at, seq, event, to, effects, error, src, from } of commits) {
    const before = states.at(-1);
    if (before?.label !== to || from === null) {
      if (before !== undefined) before.to = at;
      states.push({ from: at, to: until, kind: 'state', outcome: 'live', label: to, seq });
    }
    const ended = /^xstate\.(done|error)\.actor\.(.+)$/.exec(event);
    const [, how, child = ''] = ended ?? [];
    const bar = open.get(child);
    if (bar !== undefined) {
      bar.to = at;
      bar.outcome = how === 'done' ? 'done' : 'failed';
      open.delete(child);
    }
    if (src !== null && error !== null) failAttempt(open, src, at, seq, until);
    for (const effect of effects) {
      const [source = '', id = source] = effect.split('#');
      const started: Bar = { from: at, to: until, kind: 'run', outcome: 'live', label: source, seq };
      open.get(id)?.outcome === 'live' && close(open.get(id) as Bar, at);
      open.set(id, started);
      laneOf(id).push(started);
    }
  }
  const last = states.at(-1);
  if (endedAt !== null) {
    if (last !== undefined) last.outcome = 'done';
    for (const bar of open.values()) close(bar, endedAt);
  }
  for (const state of states.slice(0, -1)) state.outcome = 'done';
  return [{ name: 'state', bars: states }, ...[...lanes].map(([name, bars]) => ({ name, bars }))];

  /** The attempt was a failure; from here on it waits, and then runs again. */
  function failAttempt(
    running: Map<string, Bar>,
    source: string,
    at: number,
    seq: number,
    end: number,
  ): void {
    for (const [id, bar] of running) {
      if (bar.label !== source) continue;
      bar.to = at;
      bar.outcome = 'failed';
      const next: Bar = { from: at, to: end, kind: 'wait', outcome: 'live', label: source, seq };
      running.set(id, next);
      laneOf(id).push(next);
      return;
    }
  }
}

function close(bar: Bar, at: number): void {
  bar.to = at;
  bar.outcome = 'left';
}

/** A way from time to place, and the stretches that it shortens. */
export interface Scale {
  place(at: number): number;
  width: number;
  gaps: { at: number; ms: number }[];
}

/** A stretch without any commit that is longer than so many times the usual one is shortened to it. */
const stretchMax = 12;

/** Time to pixels; with `compress` long waits take no more room than they need to be seen. */
export function scaleOf(times: readonly number[], width: number, compress: boolean): Scale {
  const sorted = [...new Set(times)].sort((a, b) => a - b);
  const first = sorted[0] ?? 0;
  const last = sorted.at(-1) ?? first;
  const steps = sorted.slice(1).map((at, index) => at - (sorted[index] ?? at));
  const usual = [...steps].sort((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 1;
  const cap = compress ? Math.max(usual * stretchMax, (last - first) / 400) : Number.POSITIVE_INFINITY;
  const places: number[] = [0];
  const gaps: { at: number; ms: number }[] = [];
  for (const [index, step] of steps.entries()) {
    places.push((places[index] ?? 0) + Math.min(step, cap));
    if (step > cap * 1.5) gaps.push({ at: (sorted[index] ?? 0) + step / 2, ms: step });
  }
  const total = places.at(-1) || 1;
  return {
    width,
    gaps,
    place(at) {
      let low = 0;
      let high = sorted.length - 1;
      while (low < high) {
        const middle = Math.ceil((low + high) / 2);
        if ((sorted[middle] ?? 0) <= at) low = middle;
        else high = middle - 1;
      }
      const from = sorted[low] ?? first;
      const step = steps[low] ?? 0;
      const part = step === 0 ? 0 : Math.min(1, Math.max(0, (at - from) / step));
      const length = (places[low + 1] ?? places[low] ?? 0) - (places[low] ?? 0);
      return (((places[low] ?? 0) + length * part) / total) * width;
    },
  };
}
