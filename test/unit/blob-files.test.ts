import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { differences, matchRecords, nameBytes, removingText } from '#core/blob-files';
import { startListing, startMeasuring } from '#infra/blob/file-list';
import { foundBy, listOnce, measureFiles, newLook } from '#infra/blob/file-looking';

const hex = (n: number): string => createHash('sha256').update(`blob ${n}`).digest('hex');
const namesOf = (names: readonly string[]): Buffer => Buffer.from(names.join(''));
const record = (name: string, size: number | null): string =>
  `${name}${size === null ? removingText : String(size).padStart(16, '0')}`;
const recordsOf = (rows: readonly (readonly [string, number | null])[]): Buffer =>
  Buffer.from(rows.map(([name, size]) => record(name, size)).join(''));

test('differences are what a look at each would find, however many there are', () => {
  const count = 5_000;
  const files = new Map<string, number>();
  const rows = new Map<string, number | null>();
  const wrong = { files: new Map<string, number>(), rows: new Map<string, number | null>() };
  for (let n = 0; n < count; n++) {
    const [name, digest] = [hex(n), `sha256:${hex(n)}`];
    // Every tenth of them has something about it, each its own.
    const kind = n % 10 === 0 ? (n / 10) % 5 : -1;
    if (kind !== 0) files.set(name, kind === 1 ? n + 1 : kind === 4 ? -1 : n);
    if (kind !== 2) rows.set(name, kind === 3 ? null : n);
    if (kind === 1) wrong.files.set(digest, n + 1);
    if (kind === 2 || kind === 3) wrong.files.set(digest, n);
    if (kind === 0 || kind === 1 || kind === 4) wrong.rows.set(digest, n);
    if (kind === 3) wrong.rows.set(digest, null);
  }
  const sizes = Float64Array.from(files.values());
  const found = differences(namesOf([...files.keys()]), sizes, recordsOf([...rows].reverse()));
  assert.deepEqual([...found.files].sort(), [...wrong.files].sort());
  assert.deepEqual([...found.rows].sort(), [...wrong.rows].sort());
});

test('names that begin alike are told apart, and only digests are strangers', () => {
  const alike = ['0', '1', '2'].map((last) => `${'a'.repeat(63)}${last}`);
  const [first = '', second = '', third = ''] = alike;
  const odd = [`${'A'.repeat(64)}`, `${'g'.repeat(64)}`];
  const { places, strangers } = matchRecords(
    namesOf([third, ...odd, first]),
    recordsOf([
      [first, 1],
      [second, 2],
    ]),
  );
  assert.deepEqual([...places], [3, -1]);
  assert.deepEqual(strangers, [{ place: 0, digest: `sha256:${third}` }]);
  assert.deepEqual(matchRecords(namesOf([]), recordsOf([])), { places: new Int32Array(), strangers: [] });
  // Memory that does not begin at a word.
  const shifted = Buffer.concat([Buffer.from('x'), namesOf(alike)]).subarray(1);
  assert.deepEqual([...matchRecords(shifted, recordsOf([[second, 1]])).places], [1]);
});

test('a size is told to the byte, as far as numbers go', () => {
  const [name, size] = [hex(1), Number.MAX_SAFE_INTEGER - 1];
  const compare = (there: number) =>
    differences(namesOf([name]), Float64Array.of(there), recordsOf([[name, size]]));
  assert.equal(compare(size).rows.size, 0);
  assert.deepEqual(compare(size - 1), {
    files: new Map([[`sha256:${name}`, size - 1]]),
    rows: new Map([[`sha256:${name}`, size]]),
  });
});

for (const threads of [0, 3])
  test(`a folder is listed and measured whole, by ${threads} threads too`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'flyd-files-'));
    try {
      assert.equal((await startListing(join(folder, 'none'), threads)()).length, 0);
      assert.equal((await startMeasuring(join(folder, 'none'), threads)()).sizes.length, 0);
      const sizes = new Map<string, number>();
      const many = 5_000;
      for (let n = 0; n < many; n++) {
        const bytes = n % 7;
        writeFileSync(join(folder, hex(n)), 'x'.repeat(bytes));
        sizes.set(hex(n), bytes);
      }
      const huge = 5 * 2 ** 30 + 1;
      truncateSync(join(folder, hex(3)), huge);
      sizes.set(hex(3), huge);
      mkdirSync(join(folder, hex(many)));
      symlinkSync(hex(1), join(folder, hex(many + 1)));
      for (const n of [many, many + 1]) sizes.set(hex(n), -1);
      for (const name of ['short', `${hex(0)}0`, `${hex(0)}.flyd-tmp`, hex(0).slice(1)])
        writeFileSync(join(folder, name), '');

      const listed = split(await startListing(folder, threads)());
      assert.deepEqual(listed.toSorted(), [...sizes.keys()].sort());
      const found = await startMeasuring(folder, threads)();
      assert.deepEqual(new Map(split(found.names).map((name, at) => [name, found.sizes[at]])), sizes);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

test('what goes between the listing and the look at it has no bytes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'flyd-files-'));
  try {
    for (const n of [1, 2]) writeFileSync(join(folder, hex(n)), 'x');
    const job = newLook(folder);
    assert.equal(listOnce(job), true);
    assert.equal(listOnce(job), false, 'it is listed once');
    rmSync(join(folder, hex(2)));
    for (const _ of measureFiles(job));
    const { names, sizes } = foundBy(job);
    const wanted = split(names).map((name) => (name === hex(2) ? -1 : 1));
    assert.deepEqual([...sizes], wanted);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a folder that cannot be listed fails whoever lists it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'flyd-files-'));
  const file = join(folder, 'file');
  writeFileSync(file, '');
  try {
    for (const threads of [0, 3]) {
      await assert.rejects(startListing(file, threads)(), /ENOTDIR/);
      const wait = startMeasuring(file, threads);
      if (threads > 0) await sleep(300); // so that one of them is the one that lists
      await assert.rejects(wait(), /ENOTDIR/);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const split = (names: Uint8Array): string[] =>
  Array.from({ length: names.length / nameBytes }, (_, at) =>
    Buffer.from(names.subarray(at * nameBytes, (at + 1) * nameBytes)).toString('latin1'),
  );
