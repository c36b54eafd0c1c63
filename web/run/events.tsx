import { useVirtualizer } from '@tanstack/react-virtual';
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from 'react';
import { clock, dateTime, duration, eventText } from '../data/text.ts';
import type { Commit } from '../data/types.ts';

type Show = 'all' | 'moves' | 'effects' | 'failed';
const shows: Record<Show, string> = {
  all: 'everything',
  moves: 'changes of state',
  effects: 'effects started or ended',
  failed: 'failures only',
};

/** The steps of a run, one a line. Arrow keys go from step to step. */
export function Events({
  commits,
  at,
  onChoose,
}: {
  commits: readonly Commit[];
  at: number | null;
  onChoose(seq: number | null): void;
}) {
  const [show, setShow] = useState<Show>('all');
  const [words, setWords] = useState('');
  const shown = useMemo(
    () => commits.filter((commit) => isShown(commit, show) && hasWords(commit, words)),
    [commits, show, words],
  );
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: shown.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 26,
    overscan: 10,
  });
  const chosen = at === null ? shown.length - 1 : shown.findIndex(({ seq }) => seq === at);
  useEffect(() => {
    if (chosen >= 0) rows.scrollToIndex(chosen, { align: 'auto' });
  }, [chosen, rows]);
  const move = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (step === undefined || shown.length === 0) return;
    event.preventDefault();
    const next = shown[Math.max(0, Math.min(shown.length - 1, chosen + step))];
    if (next !== undefined) onChoose(next.seq);
  };
  const start = commits[0]?.at ?? 0;
  return (
    <section className="events" aria-label="Events">
      <div className="tools">
        <h2>Events</h2>
        <input
          type="search"
          aria-label="Search events"
          placeholder="filter"
          value={words}
          onChange={(event) => setWords(event.target.value)}
        />
        <select
          aria-label="Events shown"
          value={show}
          onChange={(event) => setShow(event.target.value as Show)}
        >
          {Object.entries(shows).map(([name, text]) => (
            <option key={name} value={name}>
              {text}
            </option>
          ))}
        </select>
        <span className="dim">
          {shown.length} of {commits.length}
        </span>
      </div>
      <div
        className="scroller"
        ref={scroller}
        role="listbox"
        aria-label="Steps"
        tabIndex={0}
        onKeyDown={move}
        aria-activedescendant={chosen >= 0 ? `step-${shown[chosen]?.seq}` : undefined}
      >
        <div style={{ height: rows.getTotalSize(), position: 'relative' }} role="presentation">
          {rows.getVirtualItems().map(({ index, start: top }) => {
            const commit = shown[index];
            return commit === undefined ? null : (
              <div
                key={commit.seq}
                id={`step-${commit.seq}`}
                role="option"
                aria-selected={index === chosen}
                className={`step${commit.error === null ? '' : ' failed'}${index === chosen ? ' chosen' : ''}`}
                style={{ transform: `translateY(${top}px)` }}
                onClick={() => onChoose(commit.seq)}
              >
                <Step commit={commit} start={start} />
              </div>
            );
          })}
        </div>
      </div>
    </section>
  );
}

function Step({ commit, start }: { commit: Commit; start: number }) {
  const { seq, at, event, from, to, ms, effects, error, src, attempt } = commit;
  const detail = error === null ? effects.map((name) => `▸ ${name}`).join('  ') : error.message;
  return (
    <>
      <span className="seq">{seq}</span>
      <span className="at" title={`${dateTime(at)} · ${clock(at)}`}>
        +{duration(at - start)}
      </span>
      <span className="what">{eventText(event, src, attempt)}</span>
      <span className="to">{from === to ? '' : `→ ${to}`}</span>
      <span className="ms">{ms === null ? '' : duration(ms)}</span>
      <span className="detail" title={detail}>
        {detail}
      </span>
    </>
  );
}

function isShown({ from, to, effects, event, error }: Commit, show: Show): boolean {
  if (show === 'moves') return from !== to;
  if (show === 'failed') return error !== null;
  if (show === 'effects') return effects.length > 0 || /^xstate\.(done|error)\.actor\./.test(event);
  return true;
}

function hasWords({ event, from, to, effects, error, src, attempt }: Commit, words: string): boolean {
  if (words.trim() === '') return true;
  const text = [event, eventText(event, src, attempt), from, to, ...effects, error?.code, error?.message];
  const all = text.join(' ').toLowerCase();
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) =>
      word.startsWith('-') && word.length > 1 ? !all.includes(word.slice(1)) : all.includes(word),
    );
}
