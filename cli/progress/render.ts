import { posix } from 'node:path';
import { bytesText, type Output, oneLine, secondsText } from '../output.ts';
import { type Half, type LayerLine, type ProgressModel, rateOf } from './model.ts';

export interface Renderer {
  /** Draws what has changed. */
  draw(): void;
  /** Draws the last time, and leaves the cursor below. */
  finish(): void;
}

/** Lines that come alive on a terminal, or one plain line for each thing that happens. */
export const createRenderer = (model: ProgressModel, out: Output): Renderer =>
  out.live ? liveRenderer(model, out) : plainRenderer(model, out);

const shownMax = 24;

function liveRenderer(model: ProgressModel, out: Output): Renderer {
  let drawn = 0;
  const draw = (): void => {
    const columns = out.columns();
    const lines = [...model.lines.values()].slice(-shownMax).map((line) => liveLine(line, columns));
    lines.push(model.trouble === null ? `${model.activity} ...` : `waiting: ${oneLine(model.trouble)}`);
    const up = drawn === 0 ? '' : `\x1b[${drawn}A`;
    out.raw(`${up}${lines.map((line) => `\x1b[2K${line.slice(0, columns - 1)}\n`).join('')}\x1b[J`);
    drawn = lines.length;
  };
  return {
    draw,
    finish() {
      draw();
      if (drawn > 0) out.raw('\x1b[1A\x1b[2K'); // the activity is over
      drawn = 0;
    },
  };
}

/** Widths of a terminal that has room, and of one that has not. */
const wide = { columns: 112, name: 28, bar: 12 };
const narrow = { name: 18, bar: 8 };

function liveLine({ key, fetch, unpack }: LayerLine, columns: number): string {
  const roomy = columns >= wide.columns;
  const { name: nameWidth, bar } = roomy ? wide : narrow;
  const name = oneLine(nameOf(key)).slice(0, nameWidth).padEnd(nameWidth);
  const size = (fetch.total === null ? '' : bytesText(fetch.total)).padStart(9);
  const fetching = `fetch ${barOf(fetch, bar)} ${noteOf(fetch).padEnd(13)}`;
  return `${name} ${size}  ${fetching} unpack ${barOf(unpack, bar)}${roomy ? ` ${noteOf(unpack)}` : ''}`;
}

function barOf({ done, total }: Half, width: number): string {
  const share = total === null || total === 0 ? 0 : Math.min(1, done / total);
  const full = Math.round(share * width);
  return `[${'#'.repeat(full)}${'-'.repeat(width - full)}]`;
}

function noteOf(half: Half): string {
  switch (half.phase) {
    case 'waiting':
      return half.elsewhere ? 'elsewhere' : '';
    case 'moving':
      return half.elsewhere ? 'elsewhere' : `${bytesText(rateOf(half))}/s`;
    case 'pending':
      return 'not there yet';
    case 'reused':
      return 'there already';
    case 'done':
      return 'done';
  }
}

function plainRenderer(model: ProgressModel, out: Output): Renderer {
  const said = new Set<string>();
  const once = (line: string): void => {
    if (said.has(line)) return;
    said.add(line);
    out.note(oneLine(line));
  };
  const draw = (): void => {
    if (model.trouble !== null) once(`waiting: ${model.trouble}`);
    for (const { key, fetch, unpack } of model.lines.values()) {
      const name = nameOf(key);
      for (const line of [plainFetch(name, fetch), plainUnpack(name, unpack)]) if (line !== null) once(line);
    }
  };
  return { draw, finish: draw };
}

/** The last part of a key; of a digest, enough to know it by. */
const nameOf = (key: string): string =>
  posix.basename(key).replace(/^(?:sha256:)?([0-9a-f]{12})[0-9a-f]{52}$/, '$1');

const tookText = (half: Half): string => secondsText((half.endedAt - half.startedAt) / 1000);

function plainFetch(name: string, fetch: Half): string | null {
  const size = fetch.total === null ? '' : ` (${bytesText(fetch.total)})`;
  if (fetch.elsewhere && fetch.phase !== 'done' && fetch.phase !== 'reused')
    return `${name}: another process fetches it; waiting`;
  switch (fetch.phase) {
    case 'waiting':
      return null;
    case 'moving':
      return `${name}: fetching${size}`;
    case 'pending':
      return `${name}: not in the bucket yet; looking again later`;
    case 'reused':
      return `${name}: there already${size}`;
    case 'done':
      return `${name}: fetched${size} in ${tookText(fetch)}`;
  }
}

function plainUnpack(name: string, unpack: Half): string | null {
  const size = unpack.total === null ? '' : ` (${bytesText(unpack.total)})`;
  if (unpack.elsewhere && (unpack.phase === 'waiting' || unpack.phase === 'moving'))
    return `${name}: another process unpacks it; waiting`;
  switch (unpack.phase) {
    case 'moving':
      return `${name}: unpacking${size}`;
    case 'reused':
      return `${name}: unpacked already`;
    case 'done':
      return `${name}: unpacked${size}`;
    default:
      return null;
  }
}
