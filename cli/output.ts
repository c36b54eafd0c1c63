import { writeSync } from 'node:fs';
import type { ErrorRecord } from '#core/errors';

/** Text, or its bytes in UTF-8: those are written as they are, where making a string of them costs most. */
export type Text = string | Uint8Array;

/** Where a command writes. Data goes to stdout, everything else to stderr. */
export interface Output {
  /** One JSON document is all that stdout gets. */
  readonly json: boolean;
  /** stderr is a terminal that understands cursor movements. */
  readonly live: boolean;
  readonly color: boolean;
  /** Columns of the terminal. */
  columns(): number;
  /** The command's one document, when JSON was asked for. */
  document(value: unknown): void;
  /** One JSON object on a line of its own, for commands that tell things as they happen. */
  line(value: unknown): void;
  /** The one document as an array, from the JSON texts of its elements, each one or several: for long lists. */
  array(texts: Iterable<Text>): void;
  /** A line for people, on stdout; nothing under `--json`. */
  say(line?: string): void;
  /** Many of them, each text one or several. */
  sayAll(lines: Iterable<Text>): void;
  /** A line on stderr. */
  note(line: string): void;
  /** To stderr as it is. */
  raw(text: string): void;
}

export function createOutput({ json, color }: { json: boolean; color: boolean }): Output {
  const { stderr, stdout } = process;
  const live = stderr.isTTY === true && color;
  return {
    json,
    live,
    color: color && stdout.isTTY === true,
    columns: () => Math.max(40, stderr.columns || 80),
    document: (value) => json && put(1, `${JSON.stringify(value, null, 2)}\n`),
    line: (value) => json && put(1, `${JSON.stringify(value)}\n`),
    array: (texts) => json && putAll(arrayPieces(texts)),
    say: (line = '') => json || put(1, `${line}\n`),
    sayAll: (lines) => json || putAll(linePieces(lines)),
    note: (line) => put(2, `${line}\n`),
    raw: (text) => put(2, text),
  };
}

function* arrayPieces(texts: Iterable<Text>): Iterable<Text> {
  let any = false;
  for (const text of texts) {
    yield any ? ',\n  ' : '[\n  ';
    yield text;
    any = true;
  }
  yield any ? '\n]\n' : '[]\n';
}

function* linePieces(lines: Iterable<Text>): Iterable<Text> {
  for (const line of lines) {
    yield line;
    yield '\n';
  }
}

const blockChars = 256 * 1024;

/** Written many at a time, so that a hundred thousand lines are not as many calls. */
function putAll(pieces: Iterable<Text>): void {
  let block = '';
  const flush = (): void => {
    if (block !== '') put(1, block);
    block = '';
  };
  for (const piece of pieces) {
    if (typeof piece === 'string') block += piece;
    else {
      flush();
      put(1, piece);
    }
    if (block.length >= blockChars) flush();
  }
  flush();
}

/** Written whole before anything else happens: a command may end right after. A reader that is gone wants no more. */
function put(fd: number, text: Text): void {
  let rest = typeof text === 'string' ? Buffer.from(text) : text;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EPIPE') return;
      if (code !== 'EAGAIN') throw error;
    }
  }
}

/** An error as scripts get it, with the same six fields each time. */
export const errorDocument = ({ code, kind, message, op, subject, hint }: ErrorRecord) => ({
  code,
  kind,
  message,
  op: op ?? null,
  subject: subject ?? null,
  hint: hint ?? null,
});

/** One line that says what is wrong and with what, and one that says what to do. */
export function errorLines({ code, message, subject, hint }: ErrorRecord): string[] {
  const about = subject === undefined || message.includes(subject) ? '' : ` (${subject})`;
  const lines = [`flyd: ${oneLine(message)}${oneLine(about)} [${code}]`];
  if (hint !== undefined) lines.push(`hint: ${oneLine(hint)}`);
  return lines;
}

/** Names come from strangers: nothing of theirs moves the cursor or starts a line of its own. */
export const oneLine = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must go
  text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').trimEnd();

/** Columns for people, each as wide as its widest cell. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const cells = [header, ...rows].map((row) => row.map(oneLine));
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells.map((row) => padded(row, widths));
}

/** A line of a table whose widths are known; a cell that is wider pushes the rest. */
export const padded = (cells: readonly string[], widths: readonly number[]): string =>
  cells
    .map((cell, column) => cell.padEnd(widths[column] ?? 0))
    .join('  ')
    .trimEnd();

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** `1.5 MiB`: three digits at most before the unit changes. */
export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** `0.8 s`, `12 s`, `3 min 20 s`. */
export function secondsText(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** `12 ms`, then as `secondsText`. */
export const durationText = (ms: number): string =>
  ms < 1000 ? `${Math.max(0, Math.round(ms))} ms` : secondsText(ms / 1000);

/** RFC 3339 in UTC. */
export const timeText = (ms: number): string => new Date(ms).toISOString();
