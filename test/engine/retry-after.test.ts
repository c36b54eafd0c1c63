import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setup } from 'xstate';
import { effect } from '#core/effect';
import { recoverable } from '#core/errors';
import { defineMachine } from '#engine/index';
import { engineIn, tempFolder } from '../support/engine.ts';

const machine = setup({ actors: { ask: effect<Record<string, never>, null>() } }).createMachine({
  id: 'asking',
  initial: 'asking',
  states: {
    asking: { invoke: { id: 'ask', src: 'ask', input: {}, onDone: 'told' } },
    told: { type: 'final' },
  },
});

/** When the second attempt is due, in ms from the first one's end, as the run says. */
async function pauseAsked(t: Parameters<typeof tempFolder>[0], retryAfterMs: number, pauseMsMax: number) {
  const ask = async () => {
    throw recoverable('source_unavailable', 'slow down', { facts: { retryAfterMs } });
  };
  const asking = defineMachine({ name: 'asking', version: 1, machine, actors: { ask } });
  const retry = { recoverable: { attemptsMax: 9, pauseMs: 1, pauseMsMax } };
  const engine = engineIn(t, tempFolder(t), [asking], { retry });
  const before = Date.now();
  const { id } = await engine.start(asking, { input: {} });
  for (;;) {
    const { nextAt, attempts } = engine.run(id);
    if (attempts > 0 && nextAt !== null) return nextAt - before;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test('a pause that the other side asks for is kept, as far as the policy waits at all', async (t) => {
  const asked = await pauseAsked(t, 60_000, 3_600_000);
  assert.ok(asked >= 60_000, `${asked} ms`);
  const capped = await pauseAsked(t, 3_600_000, 120_000);
  assert.ok(capped >= 120_000 && capped < 3_600_000, `${capped} ms`);
});
