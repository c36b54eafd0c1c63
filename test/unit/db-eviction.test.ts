import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { EvictionWish } from '#db/images/index';
import {
  completeImage,
  openTestStore,
  options,
  sealedVolume,
  type TestStore,
} from '../support/image-store.ts';

/** Which images have to go for others to have room: three of one layer, 100 bytes stored, 300 unpacked, each. */
let store: TestStore;
const each = 400;
beforeEach(() => {
  store = openTestStore();
  for (const n of [1, 2, 3]) {
    sealedVolume(store, { id: `vol-${n}`, seed: `s${n}` });
    completeImage(store, { id: `img-${n}`, family: `f${n}`, seed: `s${n}`, at: n * 1000 });
  }
});
afterEach(() => store.close());

const evict = (wish: Partial<EvictionWish> = {}): string[] =>
  store.evictions.evict({ maxBytes: null, usedBefore: null, ...wish }).evicted.map(({ id }) => id);
const activate = (image: string, at: number): void => {
  const row = { id: 'act-1', image, device: null, options, mountPoint: '/m/act-1', effect: 'e' };
  assert.ok(store.activations.choose(row, at));
};

describe('eviction', () => {
  it('takes the least recently used first, down to the mark and no further', () => {
    assert.deepEqual(store.evictions.evict({ maxBytes: 3 * each, usedBefore: null }), {
      evicted: [],
      bytesKept: 3 * each,
    });
    const { evicted, bytesKept } = store.evictions.evict({ maxBytes: 2 * each - 1, usedBefore: null });
    assert.deepEqual([evicted.map(({ family }) => family), bytesKept], [['f1', 'f2'], each]);
    assert.deepEqual(
      store.images.list().map(({ id }) => id),
      ['img-3'],
    );
  });

  it('counts what images share once', () => {
    completeImage(store, { id: 'img-4', family: 'another', seed: 's1', at: 500 });
    const { evicted, bytesKept } = store.evictions.evict({ maxBytes: 2 * each, usedBefore: null });
    // The first to go frees nothing: the second stands on the same layer.
    assert.deepEqual([evicted.map(({ id }) => id), bytesKept], [['img-4', 'img-1'], 2 * each]);
  });

  it('keeps what was used within the time, whatever the mark', () => {
    assert.deepEqual(evict({ maxBytes: 1, usedBefore: 2000 }), ['img-1']);
    assert.deepEqual(evict({ usedBefore: 2001 }), ['img-2']);
  });

  it('keeps what is pinned, until it is unpinned', () => {
    assert.equal(store.images.pin('img-1', true), true);
    assert.equal(store.images.pin('img-9', true), false);
    assert.deepEqual(evict({ maxBytes: 2 * each }), ['img-2']);
    store.images.pin('img-1', false);
    assert.deepEqual(evict({ maxBytes: each }), ['img-1']);
  });

  it('keeps what is activated, and counts it as used until it was taken down', () => {
    activate('img-1', 1000);
    assert.deepEqual(evict({ maxBytes: 2 * each }), ['img-2']);
    store.activations.removing('act-1', 5000);
    store.activations.forget('act-1');
    assert.deepEqual(evict({ maxBytes: each }), ['img-3']);
  });

  it('keeps what a live pull may rely on', () => {
    const run = store.startRun('pull', 2500);
    assert.deepEqual(evict(), ['img-1', 'img-2']);
    store.endRun(run);
    assert.deepEqual(evict(), ['img-3']);
  });
});
