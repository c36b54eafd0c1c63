import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Deviation, Stack } from './differential.ts';

/** A stack of layers that once showed something, as small as it could be made. */
export interface KeptStack {
  why: string;
  /** The deviation that it shows; null for a fault, which must not come back. */
  shows: Deviation | null;
  stack: Stack;
}

interface Stored {
  why: string;
  shows: Deviation | null;
  /** Each entry of each layer: its blocks, gzip, base64. */
  stack: string[][];
}

const place = new URL('../fuzz/kept/differential.json', import.meta.url);

/** The stacks that are kept in the repository. */
export function keptStacks(): KeptStack[] {
  if (!existsSync(place)) return [];
  const stored = JSON.parse(readFileSync(place, 'utf8')) as Stored[];
  return stored.map(({ why, shows, stack }) => ({
    why,
    shows,
    stack: stack.map((entries) => entries.map((entry) => gunzipSync(Buffer.from(entry, 'base64')))),
  }));
}

/** Adds a stack to those that are kept. */
export function keepStack(kept: KeptStack): void {
  const stored: Stored[] = [...keptStacks(), kept].map(({ why, shows, stack }) => ({
    why,
    shows,
    stack: stack.map((entries) => entries.map((entry) => gzipSync(entry).toString('base64'))),
  }));
  writeFileSync(place, `${JSON.stringify(stored, null, 2)}\n`);
}
