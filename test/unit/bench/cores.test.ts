import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pinned, shareCores } from '../../../bench/pull/cores.ts';

test('the server of a bench gets processors of its own where enough are left', () => {
  const parted = shareCores(8, null);
  assert.deepEqual([parted.subjects, parted.server], ['0-3', '4-7']);
  const few = shareCores(4, null);
  assert.deepEqual([few.subjects, few.server], [null, null]);
  assert.match(few.note, /too few/);
});

test('so many processors as asked for, and never all of them', () => {
  const two = shareCores(4, 2);
  assert.deepEqual([two.subjects, two.server], ['0-1', '2-3']);
  assert.equal(shareCores(4, 3).server, '3');
  for (const wanted of [0, 4, 5, 1.5, Number.NaN]) assert.throws(() => shareCores(4, wanted), RangeError);
});

test('a command line is pinned only where processors are named', () => {
  assert.deepEqual(pinned(null, 'true', 'x'), ['true', 'x']);
  assert.deepEqual(pinned('0-1', 'true'), ['taskset', '--cpu-list', '0-1', 'true']);
});
