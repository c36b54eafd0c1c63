import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';

const file = new URL('./collecting-thread.ts', import.meta.url);

function ended(workerData: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    new Worker(file, { workerData }).once('message', resolve).once('error', reject);
  });
}

test('threads can collect for the first time at the same moment', async () => {
  for (let round = 0; round < 15; round++) {
    const threads = 4;
    const workerData = { gate: new SharedArrayBuffer(4), threads };
    const outcomes = await Promise.all(Array.from({ length: threads }, () => ended(workerData)));
    assert.deepEqual(new Set(outcomes), new Set(['collected']));
  }
});
