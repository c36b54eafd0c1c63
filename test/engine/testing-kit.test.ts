import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diff } from '#engine/json';
import { createClock, memoryLocks, seeded } from '#engine/testing/index';
import { patched } from '#engine/testing/patch';
import type { Json } from '#engine/types';

test('the clock stands still until it is moved, and runs what is due in the order of time', async () => {
  const clock = createClock();
  const process = clock.process('a');
  const ran: string[] = [];
  process.setTimer(() => {
    ran.push(`late at ${process.now() - start}`);
    process.setTimer(() => ran.push('nested'), 5);
  }, 20);
  process.setTimer(() => ran.push('early'), 10);
  const cancelled = process.setTimer(() => ran.push('never'), 15);
  const start = process.now();
  cancelled.cancel();
  await clock.advance(9);
  assert.deepEqual(ran, []);
  await clock.advance(91);
  assert.deepEqual(ran, ['early', 'late at 20', 'nested']);
  assert.equal(process.now() - start, 100);
});

test('a frozen process runs what was due when it goes on, a stopped one never', async () => {
  const clock = createClock();
  const [frozen, stopped] = [clock.process('frozen'), clock.process('stopped')];
  const ran: string[] = [];
  frozen.setTimer(() => ran.push('frozen'), 10);
  stopped.setTimer(() => ran.push('stopped'), 10);
  frozen.freeze();
  stopped.stop();
  stopped.setTimer(() => ran.push('stopped'), 0);
  await clock.advance(1000);
  assert.deepEqual(ran, []);
  frozen.thaw();
  await clock.advance(0);
  assert.deepEqual(ran, ['frozen']);
});

test('what is due at once runs in an order that the seed chooses', () => {
  const orderOf = (seed: number): string => {
    const clock = createClock({ seed });
    const process = clock.process('a');
    let order = '';
    for (const name of 'abcdefgh')
      process.setTimer(() => {
        order += name;
      }, 0);
    while (clock.runOne() !== null);
    return order;
  };
  assert.equal(orderOf(1), orderOf(1));
  assert.equal([...orderOf(1)].sort().join(''), 'abcdefgh');
  assert.ok(new Set([1, 2, 3, 4, 5].map(orderOf)).size > 1);
});

test('clocks of processes differ by their skew, and true time is another matter', () => {
  const clock = createClock();
  const process = clock.process('a', { skewMs: -5000 });
  assert.equal(clock.now() - process.now(), 5000);
});

test('locks: held until the process dies, silent while it is frozen, gone when stolen', () => {
  let now = 0;
  const locks = memoryLocks({ now: () => now });
  locks.owners.hold('a');
  locks.owners.hold('b').release();
  assert.deepEqual([locks.isHeld('a'), locks.isHeld('b')], [true, false]);
  locks.froze('a');
  now = 700;
  assert.equal(locks.owners.silentMs?.('a'), 700);
  assert.equal(locks.isHeld('a'), true);
  locks.woke('a');
  assert.equal(locks.owners.silentMs?.('a'), 0);
  locks.stolen('a');
  assert.equal(locks.isHeld('a'), false);
});

test('seeded chance repeats itself and covers its range', () => {
  const many = (seed: number): number[] => {
    const random = seeded(seed);
    return Array.from({ length: 500 }, () => random.int(10));
  };
  assert.deepEqual(many(3), many(3));
  assert.notDeepEqual(many(3), many(4));
  assert.equal(new Set(many(3)).size, 10);
  assert.ok(many(3).every((n) => Number.isInteger(n) && n >= 0 && n < 10));
});

/** Any JSON, not too deep. */
function anyJson(random: ReturnType<typeof seeded>, depth = 0): Json {
  const kind = random.int(depth > 3 ? 4 : 6);
  if (kind === 0) return null;
  if (kind === 1) return random.int(3);
  if (kind === 2) return random.pick(['', 'a', 'a/b', '~1']);
  if (kind === 3) return random.chance(0.5);
  if (kind === 4) return Array.from({ length: random.int(4) }, () => anyJson(random, depth + 1));
  const keys = ['a', 'b/c', 'd~e', '', '0', '-'].filter(() => random.chance(0.4));
  return Object.fromEntries(keys.map((key) => [key, anyJson(random, depth + 1)]));
}

test('the difference of any two documents, applied by the letter of RFC 6902, gives the second', () => {
  const random = seeded(1);
  for (let time = 0; time < 3000; time++) {
    const [from, to] = [anyJson(random), anyJson(random)];
    assert.deepEqual(patched(from, diff(from, to)), to);
  }
});

test('a patch that does not fit is refused', () => {
  for (const operation of [
    { op: 'remove', path: '/a' },
    { op: 'replace', path: '/a', value: 1 },
    { op: 'add', path: '/a/b', value: 1 },
    { op: 'replace', path: '/list/3', value: 1 },
    { op: 'remove', path: '/list/-' },
  ])
    assert.throws(() => patched({ list: [1] }, [operation]), /does not apply/);
});
