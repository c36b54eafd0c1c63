import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { DriverName } from '#core/image';
import type { EvictionWish } from '#db/images/index';
import {
  blob,
  completeImage,
  layer,
  openTestStore,
  options,
  sealedVolume,
  source,
  type TestStore,
} from '../support/image-store.ts';
import { randomOf } from '../support/random.ts';

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

/** What all layers take, by looking at each. */
function countedApart(): number {
  const parts = new Map<string, number>();
  for (const { driver, layers } of store.images.list())
    for (const { digest, size, rawSize } of layers)
      parts.set(digest, size).set(`${driver} ${digest}`, rawSize);
  return [...parts.values()].reduce((sum, bytes) => sum + bytes, 0);
}

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

  it('counts a layer once as stored, and once for each driver that has it unpacked', () => {
    const random = randomOf(7);
    for (let n = 0; n < 12; n++)
      store.blobs.record(source, layer(n, 10 ** (n % 5) + n), blob(n, 10 ** (n % 5) + n), 1);
    for (let n = 4; n < 40; n++) {
      const driver = random.pick<DriverName>(['copy', 'overlay']);
      sealedVolume(store, { id: `vol-${n}`, seed: `s${n}`, driver });
      const layers = Array.from({ length: 1 + random.below(4) }, () => random.below(12));
      const at = 1000 * random.below(50);
      completeImage(store, { id: `img-${n}`, family: `f${n}`, seed: `s${n}`, layers, driver, at });
    }
    for (let left = 39; left > 0; left--) {
      const before = countedApart();
      const { evicted, bytesKept } = store.evictions.evict({ maxBytes: before, usedBefore: null });
      assert.deepEqual([evicted, bytesKept], [[], before]);
      const next = store.evictions.evict({ maxBytes: before - 1, usedBefore: null });
      assert.equal(next.bytesKept, countedApart());
      if (next.bytesKept === 0) break;
      assert.ok(next.bytesKept < before && next.evicted.length > 0);
    }
    assert.deepEqual(store.images.list(), []);
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
