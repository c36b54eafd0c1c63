import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Somebody else on the file system: has written so much that is not on the disk yet, and needs what little it
 * goes on to write there at once, as a database does.
 *
 *   neighbour.ts FOLDER MIB
 *
 * Says `dirty` when it has written; each line that it is sent begins its count anew and is answered with what
 * its fsyncs took until then.
 */
const [folder = '', mib = ''] = process.argv.slice(2);

/** How its fsyncs did, in milliseconds. */
export interface Waits {
  count: number;
  p50: number;
  p99: number;
  max: number;
  /** The sum of those over `longMs`: a long time of load has many short ones, which hide them from p99. */
  stalled: number;
}

const longMs = 100;

const pauseMs = 5;

function writeMuch(): void {
  const fd = openSync(join(folder, 'much'), 'w', 0o600);
  const block = Buffer.alloc(2 ** 20);
  for (let written = 0; written < Number(mib); written++) writeSync(fd, block.fill(written & 255));
  closeSync(fd);
}

let took: number[] = [];

function answer(): void {
  const sorted = took.toSorted((a, b) => a - b);
  const at = (part: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  const waits: Waits = {
    count: sorted.length,
    p50: at(0.5),
    p99: at(0.99),
    max: sorted.at(-1) ?? 0,
    stalled: sorted.filter((ms) => ms > longMs).reduce((sum, ms) => sum + ms, 0),
  };
  took = [];
  console.log(JSON.stringify(waits));
}

const lines = createInterface({ input: process.stdin });
lines.on('line', answer);
lines.on('close', () => process.exit(0));
const small = openSync(join(folder, 'small'), 'a', 0o600);
const page = Buffer.alloc(4096, 1);
fsyncSync(small);
writeMuch();
console.log('dirty');
for (;;) {
  const from = performance.now();
  writeSync(small, page);
  fsyncSync(small);
  took.push(performance.now() - from);
  await sleep(pauseMs);
}
