import assert from 'node:assert/strict';
import test from 'node:test';
import { fuzz } from '../support/fuzz/fuzzer.ts';
import { keptInputs } from '../support/fuzz/kept.ts';
import { targets } from '../support/fuzz/targets.ts';

/**
 * The readers of archives and of OCI documents against inputs that nobody would write: each must be read or
 * refused by an error that flyd knows. Bounded here; `npm run fuzz` goes on for longer and keeps what it finds.
 */
const seed = Number(process.env.FLYD_TEST_SEED ?? 1);
const runs = Number(process.env.FLYD_TEST_ROUNDS ?? 6000);
const secondsMax = 30;

for (const target of targets)
  test(`the ${target.name} reader stands ${runs} inputs of seed ${seed}`, (t) => {
    const started = performance.now();
    const until = () => performance.now() - started > secondsMax * 1000;
    const { failure, corpus, runs: done } = fuzz(target, keptInputs(target.name), { seed, runs, until });
    if (failure !== null)
      assert.fail(`${failure.input.toString('base64')} is not stood: ${String(failure.error)}`);
    t.diagnostic(`${done} inputs, ${corpus.length} of them reached something new`);
    assert.ok(corpus.length > 4, 'no coverage was seen');
  });
