import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testInGuest, whyNoGuest } from './guest.ts';

/** The bad days of a real thin pool, made for real: test/vm/inside. */
const files = ['pool-full', 'pool-waits', 'pool-broken', 'eio'].map((name) => `test/vm/inside/${name}.ts`);

test('a pool that is full, broken, or on a disk that fails: found, said, mended, gone on with', {
  skip: whyNoGuest() ?? false,
}, (t) => {
  const passed = testInGuest({ files, inOneProcess: true, timeoutSeconds: 1800 });
  assert.ok(passed >= 22, `${passed} tests`);
  t.diagnostic(`${passed} tests passed in the guest`);
});
