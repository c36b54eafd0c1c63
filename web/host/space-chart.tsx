import { bytes, clock } from '../data/text.ts';
import type { SpaceDocument } from '../data/types.ts';

const width = 300;
const height = 64;
const inUse = ({ free, total }: { free: number; total: number }): number =>
  total === 0 ? 0 : 1 - free / total;

/** How full one thing is, and was; with the marks from which on it is worth a look, or urgent. */
export function SpaceChart({
  space,
  samples,
  thresholds,
}: {
  space: SpaceDocument['now'][number];
  samples: SpaceDocument['samples'];
  thresholds: SpaceDocument['thresholds'];
}) {
  const now = inUse(space);
  const look = now >= thresholds.critical ? 'bad' : now >= thresholds.warn ? 'warn' : '';
  const amount = (value: number): string =>
    space.unit === 'bytes' ? bytes(value) : value.toLocaleString('en');
  const first = samples[0]?.at ?? 0;
  const span = Math.max(1, Date.now() - first);
  const x = (at: number): number => ((at - first) / span) * width;
  const y = (part: number): number => height - part * height;
  const points = samples.map((sample) => ({ x: x(sample.at), y: y(inUse(sample)) }));
  const line = [...points, { x: width, y: y(now) }]
    .map(({ x: px, y: py }, index, all) =>
      index === 0 ? `M${px},${py}` : `L${px},${all[index - 1]?.y ?? py}L${px},${py}`,
    )
    .join('');
  return (
    <figure className={`space ${look}`}>
      <figcaption>
        <span className="name" title={space.what}>
          {space.what}
        </span>
        <strong>{(now * 100).toFixed(0)} %</strong>
      </figcaption>
      <svg
        viewBox={`0 0 ${width} ${height}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${space.what}: ${(now * 100).toFixed(0)} percent in use`}
      >
        <path className="area" d={`${line}L${width},${height}L${points[0]?.x ?? 0},${height}Z`} />
        <path className="line" d={line} />
        <line className="mark warn" x1={0} x2={width} y1={y(thresholds.warn)} y2={y(thresholds.warn)} />
        <line
          className="mark bad"
          x1={0}
          x2={width}
          y1={y(thresholds.critical)}
          y2={y(thresholds.critical)}
        />
      </svg>
      <p className="dim">
        {amount(space.total - space.free)} of {amount(space.total)}
        {samples.length > 0 && ` · since ${clock(first).slice(0, 5)}`}
        {look === 'bad' && ' · urgent'}
        {look === 'warn' && ' · getting full'}
      </p>
    </figure>
  );
}
