import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { mulberry32 } from '../crash/seed.ts';
import { momentsOf, readLog } from '../power/log-writes.ts';
import { planCuts } from '../power/plan.ts';
import { replayDisk, tear } from '../power/replayed-disk.ts';

// The replayer of the power tests, on a log made here after the kernel's description of the format.

const sector = 512;
const bits = { flush: 1, forced: 2, discard: 4, mark: 8 } as const;

interface Made {
  at?: number;
  data?: Buffer;
  sectors?: number;
  flags?: number;
  mark?: string;
}

function entryBytes({ at = 0, data, sectors = (data?.length ?? 0) / sector, flags = 0, mark }: Made): Buffer {
  const head = Buffer.alloc(sector);
  head.writeBigUInt64LE(BigInt(at), 0);
  head.writeBigUInt64LE(BigInt(sectors), 8);
  head.writeBigUInt64LE(BigInt(flags), 16);
  head.writeBigUInt64LE(BigInt(mark?.length ?? 0), 24);
  head.write(mark ?? '', 32);
  return Buffer.concat([head, data ?? Buffer.alloc(0)]);
}

const write = (at: number, letter: string, sectors = 1, flags = 0): Made => ({
  at,
  data: Buffer.alloc(sectors * sector, letter),
  flags,
});
const flush: Made = { flags: bits.flush };
const mark = (text: string): Made => ({ mark: text, flags: bits.mark });

/** The file of a log that has these entries. */
function logOf(t: TestContext, made: readonly Made[]): { fd: number; folder: string } {
  const folder = mkdtempSync(join(tmpdir(), 'flyd-log-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const head = Buffer.alloc(sector);
  head.writeBigUInt64LE(0x6a736677736872n, 0);
  head.writeBigUInt64LE(1n, 8);
  head.writeBigUInt64LE(BigInt(made.length), 16);
  head.writeUInt32LE(sector, 24);
  const path = join(folder, 'log');
  writeFileSync(path, Buffer.concat([head, ...made.map(entryBytes)]));
  const fd = openSync(path, 'r');
  t.after(() => closeSync(fd));
  return { fd, folder };
}

const end = mark('dm-log-writes-end');
const story = [
  write(0, 'a'),
  flush,
  mark('begin'),
  write(1, 'F', 1, bits.forced),
  mark('report-0'),
  write(2, 'b', 16),
  write(0, 'c'),
  flush,
  { at: 2, sectors: 2, flags: bits.discard },
  flush,
  end,
];

test('a log is read back entry by entry', (t) => {
  const entries = readLog(logOf(t, story).fd);
  const kinds = entries.map(({ kind, forced }) => `${kind}${forced ? '!' : ''}`).join(' ');
  assert.equal(kinds, 'write flush mark write! mark write write flush discard flush');
  assert.deepEqual(
    entries.map((entry) => entry.mark).filter((text) => text !== ''),
    ['begin', 'report-0'],
  );
});

test('a log that breaks off is refused', (t) => {
  assert.throws(() => readLog(logOf(t, story.slice(0, -1)).fd), /breaks off/);
});

test('moments: what is durable, what is under way, what was reported by then', (t) => {
  const moments = momentsOf(readLog(logOf(t, story).fd), 'begin');
  assert.deepEqual(moments, [
    { durable: 2, until: 3, marks: ['begin'] },
    { durable: 4, until: 7, marks: ['begin', 'report-0'] },
    { durable: 8, until: 9, marks: ['begin', 'report-0'] },
    { durable: 10, until: 10, marks: ['begin', 'report-0'] },
  ]);
});

test('a disk has what was durable at the moment, and a part of the rest that its seed repeats', (t) => {
  const { fd, folder } = logOf(t, story);
  const entries = readLog(fd);
  const moments = momentsOf(entries, 'begin');
  const path = join(folder, 'disk');
  const disk = replayDisk(path, 20 * sector, fd, entries);
  t.after(() => disk.close());
  const shown = (): string =>
    Array.from({ length: 20 }, (_, n) => readFileSync(path).toString('latin1', n * sector, n * sector + 1))
      .join('')
      .replaceAll('\0', '.');
  const [first, second, third, last] = moments;
  assert.ok(first && second && third && last);
  disk.advance(second);
  assert.equal(shown(), `aF${'.'.repeat(18)}`);
  const before = readFileSync(path);
  const torn = new Set<string>();
  for (let seed = 0; seed < 40; seed += 1) {
    tear(path, fd, entries, second, mulberry32(seed));
    const once = shown();
    writeFileSync(path, before);
    tear(path, fd, entries, second, mulberry32(seed));
    assert.equal(shown(), once, `seed ${seed} repeats itself`);
    assert.match(once, /^[ac]F(?:b{8}|\.{8})(?:b{8}|\.{8})\.\.$/, 'only what was under way, in whole pieces');
    torn.add(once);
    writeFileSync(path, before);
  }
  assert.ok(torn.size >= 6, [...torn].join('\n'));
  disk.advance(last);
  assert.equal(shown(), `cF..${'b'.repeat(14)}..`, 'discarded sectors are empty');
  assert.throws(() => disk.advance(first), /backwards/);
});

test('cuts: every moment first, then seeded parts of those with something under way', (t) => {
  const moments = momentsOf(readLog(logOf(t, story).fd), 'begin');
  const cuts = planCuts(moments, 10, 1);
  assert.deepEqual(cuts, planCuts(moments, 10, 1));
  assert.deepEqual(
    cuts
      .slice(0, 4)
      .map(({ moment }) => moment)
      .sort(),
    [0, 1, 2, 3],
  );
  assert.ok(cuts.slice(4).every(({ moment, seed }) => moment !== 3 && seed !== null));
});
