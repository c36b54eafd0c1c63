import assert from 'node:assert/strict';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { openReserve } from '#infra/reserve';
import { flock } from '#infra/sys';

let folder = '';
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'flyd-reserve-')), 'reserve');
});
afterEach(() => rmSync(join(folder, '..'), { recursive: true, force: true }));

/** Bytes that are allocated, not only promised. */
const allocated = (): number =>
  readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).blocks * 512, 0);
const whole = 4 * 1024 * 1024;

test('it is made, given up once, and taken back', () => {
  const reserve = openReserve(folder);
  assert.equal(allocated(), whole);
  reserve.giveUpIfFull();
  assert.equal(allocated(), whole, 'as much is free besides');
  assert.equal(reserve.giveUp(), true);
  assert.equal(reserve.giveUp(), false);
  assert.equal(allocated(), 0);
  reserve.close();
  assert.equal(allocated(), whole);
});

test('while somebody works with it, nobody makes it; the last one does', () => {
  const [first, second] = [openReserve(folder), openReserve(folder)];
  first.giveUp();
  second.giveUpIfFull(); // somebody met a full disk: it is for both
  openReserve(folder).close();
  first.close();
  assert.equal(allocated(), 0);
  second.close();
  assert.equal(allocated(), whole);
});

test('what a killed process left is mended by the next', () => {
  openReserve(folder).close();
  const [piece = ''] = readdirSync(folder);
  truncateSync(join(folder, piece), 0);
  writeFileSync(join(folder, `${piece}.trial`), 'half');
  const lock = openSync(folder, 'r');
  flock(lock, 'shared', false);
  openReserve(folder).close();
  assert.notEqual(allocated(), whole, 'its owner still lives');
  closeSync(lock);
  openReserve(folder).close();
  assert.equal(allocated(), whole);
  assert.equal(readdirSync(folder).length, 8);
});

test('where it cannot be, there is none', () => {
  writeFileSync(folder, 'in the way');
  const reserve = openReserve(folder);
  reserve.giveUpIfFull();
  assert.equal(reserve.giveUp(), false);
  reserve.close();
});
