import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { FlydError } from '#core/errors';
import { inThread } from '#infra/threads';

const file = new URL('./failing-late-thread.ts', import.meta.url);

/** A job that is given to a thread while that breaks down fails so that it can be tried again. */
async function untilDone(): Promise<string> {
  try {
    return await inThread(file, 'stays');
  } catch (error) {
    assert.ok(error instanceof FlydError && error.kind === 'recoverable', String(error));
    return untilDone();
  }
}

for (const how of ['throws', 'ends'] as const)
  test(`a thread that ${how} after its answer takes nothing along, and gets no job any more`, {
    timeout: 60_000,
  }, async () => {
    assert.equal(await inThread(file, how), `it ${how}`);
    await pause(100);
    assert.equal(await untilDone(), 'it stays');
  });
