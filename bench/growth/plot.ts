import { writeFileSync } from 'node:fs';

export interface Series {
  name: string;
  /** Size and cost, both above 0; sizes ascending. */
  points: readonly { size: number; cost: number }[];
}

export interface Panel {
  title: string;
  /** What sizes count. */
  unit: string;
  series: readonly Series[];
}

const [width, height, left, bottom, top] = [460, 300, 56, 40, 34];
const colors = ['#1f5fa8', '#1f5fa8', '#c0561a', '#c0561a', '#3b7d3b', '#3b7d3b'];

/**
 * Writes the panels as one SVG, two beside each other: cost in milliseconds against size, both on a scale of
 * powers, where what grows in proportion goes up by 45 degrees of the dotted line.
 */
export function writePlot(path: string, panels: readonly Panel[]): void {
  const rows = Math.ceil(panels.length / 2);
  const parts = panels.map(
    (panel, n) =>
      `<g transform="translate(${(n % 2) * width} ${Math.floor(n / 2) * height})">${drawn(panel)}</g>`,
  );
  writeFileSync(
    path,
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${2 * width} ${rows * height}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#fff"/>
${parts.join('\n')}
</svg>
`,
  );
}

interface Scale {
  from: number;
  to: number;
  /** Pixels of a value. */
  at(value: number): number;
}

function scaleOf(values: readonly number[], start: number, end: number): Scale {
  const from = 10 ** Math.floor(Math.log10(Math.min(...values)));
  const to = 10 ** Math.ceil(Math.log10(Math.max(...values) * 1.001));
  const span = Math.log10(to / from);
  return { from, to, at: (value) => start + ((end - start) * Math.log10(value / from)) / span };
}

function drawn({ title, unit, series }: Panel): string {
  const points = series.flatMap((each) => each.points);
  const x = scaleOf(
    points.map(({ size }) => size),
    left,
    width - 20,
  );
  const y = scaleOf(
    points.map(({ cost }) => cost),
    height - bottom,
    top,
  );
  return [
    `<text x="${left}" y="18" font-size="13" font-weight="bold">${escaped(title)}</text>`,
    ...powers(x).map((value) => line(x.at(value), top, x.at(value), height - bottom, '#e4e4e4')),
    ...powers(x).map((value) => text(x.at(value), height - bottom + 14, short(value), 'middle')),
    ...powers(y).map((value) => line(left, y.at(value), width - 20, y.at(value), '#e4e4e4')),
    ...powers(y).map((value) => text(left - 5, y.at(value) + 4, `${short(value)} ms`, 'end')),
    text((left + width - 20) / 2, height - 8, escaped(unit), 'middle'),
    proportional(x, y, points),
    ...series.map((each, n) => curve(each, n, x, y)),
    ...series.map((each, n) =>
      text(left + 8, top + 12 + 13 * n, escaped(each.name), 'start', colors[n % colors.length]),
    ),
  ].join('\n');
}

/** What the largest size would have come from, if cost were in proportion to size. */
function proportional(x: Scale, y: Scale, points: readonly { size: number; cost: number }[]): string {
  const largest = points.reduce((one, other) => (other.size > one.size ? other : one));
  const size = Math.max(x.from, (largest.size * y.from) / largest.cost);
  const cost = (largest.cost * size) / largest.size;
  return line(x.at(size), y.at(cost), x.at(largest.size), y.at(largest.cost), '#888', '2 3');
}

function curve({ points }: Series, n: number, x: Scale, y: Scale): string {
  const color = colors[n % colors.length] ?? '#000';
  const places = points.map(({ size, cost }) => `${x.at(size).toFixed(1)},${y.at(cost).toFixed(1)}`);
  const dash = n % 2 === 1 ? ' stroke-dasharray="5 3"' : '';
  const dots = places.map((place) => {
    const [cx, cy] = place.split(',');
    return `<circle cx="${cx}" cy="${cy}" r="2.5" fill="${color}"/>`;
  });
  return `<polyline points="${places.join(' ')}" fill="none" stroke="${color}" stroke-width="1.6"${dash}/>${dots.join('')}`;
}

const powers = ({ from, to }: Scale): number[] =>
  Array.from({ length: Math.round(Math.log10(to / from)) + 1 }, (_, n) => from * 10 ** n);

const line = (x1: number, y1: number, x2: number, y2: number, color: string, dash = 'none'): string =>
  `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="${color}" stroke-dasharray="${dash}"/>`;

const text = (x: number, y: number, words: string, anchor: string, color = '#333'): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" fill="${color}">${words}</text>`;

const short = (value: number): string =>
  value >= 1e6 ? `${value / 1e6}M` : value >= 1e3 ? `${value / 1e3}k` : String(value);

const escaped = (words: string): string => words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
