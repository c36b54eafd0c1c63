import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { openCommitNotes, readGeneration, writeGeneration } from '#infra/generation';

let path = '';
beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), 'flyd-generation-')), 'generation');
});
afterEach(() => rmSync(join(path, '..'), { recursive: true, force: true }));

test('what was noted is read, and commits are noted in place', async () => {
  assert.equal(readGeneration(path), null);
  await writeGeneration(path, { number: 3, commit: 41 });
  assert.deepEqual(readGeneration(path), { number: 3, commit: 41 });
  const { size } = statSync(path);
  let newest = 42;
  const notes = openCommitNotes(path, () => newest);
  notes.note();
  newest = Number.MAX_SAFE_INTEGER;
  notes.note();
  assert.deepEqual(readGeneration(path), { number: 3, commit: Number.MAX_SAFE_INTEGER });
  notes.close();
  assert.equal(statSync(path).size, size);
  await writeGeneration(path, { number: 4, commit: 7 });
  assert.deepEqual(readGeneration(path), { number: 4, commit: 7 });
});

test('a commit that is just being written counts for nothing; so does what an earlier build wrote of none', async () => {
  await writeGeneration(path, { number: 3, commit: 99 });
  const lines = readFileSync(path, 'utf8').split('\n');
  writeFileSync(path, [lines[0], lines[1], lines[2]?.replace('99', '00'), ''].join('\n'));
  assert.deepEqual(readGeneration(path), { number: 3, commit: 0 });
  writeFileSync(path, `${lines[0]}\n`);
  assert.deepEqual(readGeneration(path), { number: 3, commit: 0 });
  writeFileSync(path, '');
  assert.deepEqual(readGeneration(path), { number: 0, commit: 0 });
});

test('without the file nothing is noted, and nothing fails', () => {
  const notes = openCommitNotes(path, () => 1);
  notes.note();
  notes.close();
  assert.equal(readGeneration(path), null);
});
