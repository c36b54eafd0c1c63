import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Polling } from '../../engine/polling.ts';

/** The pauses that it makes while each look takes so many milliseconds. */
function pausesOf(looksMs: readonly number[]): number[] {
  const pauses: number[] = [];
  const due: (() => void)[] = [];
  let now = 0;
  let looks = 0;
  const polling = new Polling({
    system: {
      now: () => now,
      setTimer(run, delayMs) {
        pauses.push(delayMs);
        due.push(run);
        return { cancel: () => assert.fail('nobody stops it') };
      },
    },
    look() {
      now += looksMs[looks] ?? 0;
      looks += 1;
    },
    goesOn: () => looks < looksMs.length,
  });
  polling.start();
  for (let run = due.pop(); run !== undefined; run = due.pop()) run();
  return pauses;
}

test('who looks quickly looks often', () => {
  assert.deepEqual(pausesOf([0, 1, 0]), [25, 25, 25]);
});

test('who looks slowly leaves nineteen parts in twenty to others, and looks once a second all the same', () => {
  assert.deepEqual(pausesOf([10, 40, 3000, 0, 0]), [25, 200, 800, 1000, 25]);
});

test('a clock that is set back does no harm', () => {
  assert.deepEqual(pausesOf([-5000, 0]), [25, 25]);
});
