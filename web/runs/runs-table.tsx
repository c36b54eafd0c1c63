import { useVirtualizer } from '@tanstack/react-virtual';
import { type KeyboardEvent, useRef } from 'react';
import { go } from '../data/address.ts';
import { age, dateTime, duration } from '../data/text.ts';
import type { RunSummary } from '../data/types.ts';
import { useNow } from '../data/use.ts';
import { Meter } from '../ui/meter.tsx';
import { Status } from '../ui/status.tsx';
import type { Share } from './progress.ts';

const columns = ['Status', 'Machine', 'About', 'State', 'Trouble', 'Progress', 'Age', 'Took', 'Run'];
const rowHeight = () => (window.innerWidth < 720 ? 68 : 34);

/** Thousands of rows: only those in sight are in the page. Arrow keys move, Enter opens. */
export function RunsTable({
  runs,
  shares,
  filtered,
}: {
  runs: readonly RunSummary[];
  shares: ReadonlyMap<string, Share>;
  filtered: boolean;
}) {
  const scroller = useRef<HTMLDivElement>(null);
  const now = useNow();
  const rows = useVirtualizer({
    count: runs.length,
    getScrollElement: () => scroller.current,
    estimateSize: rowHeight,
    overscan: 12,
    getItemKey: (index) => runs[index]?.id ?? index,
  });
  const wanted = useRef<number | null>(null);
  const move = (event: KeyboardEvent): void => {
    const row = (event.target as Element).closest('[data-index]');
    const at = wanted.current ?? Number(row?.getAttribute('data-index') ?? -1);
    const to = destinationOf(event.key, at, runs.length - 1);
    if (to === null) return;
    event.preventDefault();
    wanted.current = to;
    // The row may have to be drawn first: until then the focus waits where keys are still heard.
    scroller.current?.focus({ preventScroll: true });
    rows.scrollToIndex(to);
    focusSoon(framesMax);
  };
  const focusSoon = (frames: number): void => {
    const link = scroller.current?.querySelector<HTMLElement>(`[data-index="${wanted.current}"] a`);
    if (link == null && frames > 0) {
      requestAnimationFrame(() => focusSoon(frames - 1));
      return;
    }
    link?.focus({ preventScroll: true });
    wanted.current = null;
  };
  if (runs.length === 0)
    return (
      <p className="empty">
        {filtered
          ? 'No run is like this.'
          : 'No runs yet. Start one: flyd pull <family> --source s3://bucket/prefix'}
      </p>
    );
  return (
    <div className="table" role="table" aria-label="Runs" aria-rowcount={runs.length + 1}>
      <div className="row head" role="row">
        {columns.map((column) => (
          <span key={column} role="columnheader" className={`cell c-${column.toLowerCase()}`}>
            {column}
          </span>
        ))}
      </div>
      <div className="scroller" ref={scroller} onKeyDown={move} role="rowgroup" tabIndex={-1}>
        <div className="all" style={{ height: rows.getTotalSize() }} role="presentation">
          {rows.getVirtualItems().map(({ index, key, start, size }) => {
            const run = runs[index];
            return run === undefined ? null : (
              <div
                key={key}
                className="row"
                role="row"
                aria-rowindex={index + 2}
                data-index={index}
                style={{ transform: `translateY(${start}px)`, height: size }}
                onClick={(event) => event.target instanceof HTMLAnchorElement || go(`/runs/${run.id}`)}
              >
                <Cells run={run} share={shares.get(run.id) ?? null} now={now} />
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

/** Frames in which a row that was scrolled to is drawn. */
const framesMax = 30;
const steps: Readonly<Record<string, number>> = {
  ArrowDown: 1,
  j: 1,
  ArrowUp: -1,
  k: -1,
  PageDown: 15,
  PageUp: -15,
};

function destinationOf(key: string, at: number, last: number): number | null {
  if (key === 'Home') return 0;
  if (key === 'End') return last;
  const step = steps[key];
  return step === undefined ? null : Math.max(0, Math.min(last, at + step));
}

function Cells({ run, share, now }: { run: RunSummary; share: Share | null; now: number }) {
  const live = run.endedAt === null;
  const cell = (name: string, content: React.ReactNode, title?: string) => (
    <span className={`cell c-${name}`} role="cell" title={title}>
      {content}
    </span>
  );
  return (
    <>
      {cell('status', <Status run={run} />)}
      {cell('machine', run.machine)}
      {cell('about', <a href={`/runs/${run.id}`}>{run.about || run.id}</a>, run.key ?? run.about)}
      {cell('state', <code>{run.state || '…'}</code>, run.state)}
      {cell('trouble', <TroubleText run={run} now={now} />, run.error?.message)}
      {cell('progress', live && share !== null && <Meter {...share} label="Progress" />)}
      {cell('age', age(now - run.createdAt), `started ${dateTime(run.createdAt)}`)}
      {cell('took', live ? '' : duration((run.endedAt ?? 0) - run.createdAt))}
      {cell('run', <code>{run.id.slice(-8).toLowerCase()}</code>, run.id)}
    </>
  );
}

/** Attempt, last error, and when it is tried again: what one asks of a run that does not go on. */
function TroubleText({ run, now }: { run: RunSummary; now: number }) {
  const { error, attempts, nextAt, status, endedAt, owner } = run;
  if (error === null && owner !== 'dead') return null;
  const parts = [
    endedAt === null && attempts > 0 ? `attempt ${attempts}` : '',
    error === null ? 'its process is gone: resume it' : error.message,
    endedAt === null && nextAt !== null && nextAt > now && status !== 'parked'
      ? `again in ${age(nextAt - now)}`
      : '',
  ];
  return <span className="trouble-text">{parts.filter((part) => part !== '').join(' · ')}</span>;
}
