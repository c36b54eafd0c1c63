import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testInGuest, whyNoGuest } from './guest.ts';

/** The bad days of a real thin pool, made for real: test/vm/inside. */
const files = ['pool-full', 'eio'].map((name) => `test/vm/inside/${name}.ts`);

test('a pool that is full, broken, or on a disk that fails: found, said, mended, gone on with', {
  skip: whyNoGuest() ?? false,
}, (t) => {
  const passed = testInGuest({ files, inOneProcess: true, timeoutSeconds: 840 });
  assert.ok(passed >= 10, `${passed} tests`);
  t.diagnostic(`${passed} tests passed in the guest`);
});
