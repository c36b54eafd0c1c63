import { useVirtualizer } from '@tanstack/react-virtual';
import { useMemo, useRef, useState } from 'react';
import { duration } from '../data/text.ts';
import type { Commit, RunSummary } from '../data/types.ts';
import { useWidth } from '../ui/use-width.ts';
import { type Bar, lanesOf, scaleOf } from './spans.ts';

const laneHeight = 22;
const nameWidth = 168;
const lanesInSight = 12;
const barWidthMin = 3;

/** What ran when, as bars. A click goes to the step that began it. */
export function Timeline({
  commits,
  endedAt,
  now,
  at,
  childRuns,
  onChoose,
}: {
  commits: readonly Commit[];
  endedAt: number | null;
  now: number;
  at: number | null;
  childRuns: ReadonlyMap<string, RunSummary>;
  onChoose(seq: number): void;
}) {
  const [compress, setCompress] = useState(true);
  const [zoom, setZoom] = useState(1);
  const frame = useRef<HTMLDivElement>(null);
  const room = useWidth(frame) - nameWidth - 24;
  const lanes = useMemo(() => lanesOf(commits, endedAt, now), [commits, endedAt, now]);
  const scale = useMemo(
    () =>
      scaleOf([...commits.map((commit) => commit.at), endedAt ?? now], Math.max(200, room) * zoom, compress),
    [commits, endedAt, now, room, zoom, compress],
  );
  const rows = useVirtualizer({
    count: lanes.length,
    getScrollElement: () => frame.current,
    estimateSize: () => laneHeight,
    overscan: 6,
  });
  const moment = commits.find(({ seq }) => seq === at);
  return (
    <section aria-label="Timeline" className="timeline">
      <div className="tools">
        <h2>Timeline</h2>
        <label>
          <input type="checkbox" checked={compress} onChange={(event) => setCompress(event.target.checked)} />{' '}
          shorten waits
        </label>
        <label>
          zoom{' '}
          <input
            type="range"
            min={0}
            max={6}
            step={0.5}
            value={Math.log2(zoom)}
            onChange={(event) => setZoom(2 ** Number(event.target.value))}
          />
        </label>
        <span className="dim">{duration((endedAt ?? now) - (commits[0]?.at ?? now))} in all</span>
      </div>
      <div className="lanes" ref={frame} style={{ maxHeight: laneHeight * lanesInSight }} tabIndex={0}>
        <div
          style={{ height: rows.getTotalSize(), width: nameWidth + scale.width + 8, position: 'relative' }}
        >
          {rows.getVirtualItems().map(({ index, start }) => {
            const lane = lanes[index];
            if (lane === undefined) return null;
            const child = childRuns.get(lane.name);
            return (
              <div key={lane.name} className="lane" style={{ transform: `translateY(${start}px)` }}>
                <span className="name" title={lane.name}>
                  {child === undefined ? lane.name : <a href={`/runs/${child.id}`}>{lane.name}</a>}
                </span>
                <svg width={scale.width + 4} height={laneHeight} aria-hidden="true">
                  {legible(lane.bars, scale).map((bar) => (
                    <BarShape key={`${bar.seq}${bar.kind}`} bar={bar} scale={scale} onChoose={onChoose} />
                  ))}
                </svg>
              </div>
            );
          })}
          {scale.gaps.slice(0, 60).map(({ at: when, ms }) => (
            <span
              key={when}
              className="gap"
              style={{ left: nameWidth + scale.place(when) }}
              title={`${duration(ms)} without a step`}
            >
              ⋯
            </span>
          ))}
          {moment !== undefined && (
            <span className="cursor" style={{ left: nameWidth + scale.place(moment.at), height: '100%' }} />
          )}
        </div>
      </div>
    </section>
  );
}

/** Of bars that would lie over each other only the first is drawn, and every failure. */
function legible(bars: readonly Bar[], scale: ReturnType<typeof scaleOf>): Bar[] {
  let drawnTo = Number.NEGATIVE_INFINITY;
  return bars.filter((bar) => {
    const x = scale.place(bar.from);
    const hidden = x < drawnTo && bar.outcome !== 'failed';
    if (!hidden) drawnTo = Math.max(x + barWidthMin, scale.place(bar.to));
    return !hidden;
  });
}

function BarShape({
  bar,
  scale,
  onChoose,
}: {
  bar: Bar;
  scale: ReturnType<typeof scaleOf>;
  onChoose(seq: number): void;
}) {
  const x = scale.place(bar.from);
  const width = Math.max(barWidthMin, scale.place(bar.to) - x - 1);
  const text = `${bar.label}${bar.kind === 'wait' ? ' waits, then tries again' : ''} · ${duration(bar.to - bar.from)}`;
  const fits = width > text.length * 6.2 ? text : width > bar.label.length * 6.2 + 6 ? bar.label : '';
  return (
    <g className={`bar kind-${bar.kind} is-${bar.outcome}`} onClick={() => onChoose(bar.seq)}>
      <title>{text}</title>
      <rect x={x} y={3} width={width} height={laneHeight - 6} rx={3} />
      {fits !== '' && (
        <text x={x + 5} y={15}>
          {fits}
        </text>
      )}
    </g>
  );
}
