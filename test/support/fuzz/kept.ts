import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';

const placeOf = (target: string): URL => new URL(`../../fuzz/kept/${target}.txt`, import.meta.url);

/** The inputs that are kept for a target: a line each, gzip in base64. */
export function keptInputs(target: string): Buffer[] {
  const place = placeOf(target);
  if (!existsSync(place)) return [];
  const lines = readFileSync(place, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => gunzipSync(Buffer.from(line, 'base64')));
}

/** Replaces what is kept for a target. */
export function keepInputs(target: string, inputs: readonly Buffer[]): void {
  const lines = new Set(inputs.map((input) => gzipSync(input, { level: 9 }).toString('base64')));
  writeFileSync(placeOf(target), `${[...lines].sort().join('\n')}\n`);
}
