import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import {
  completeImage,
  openTestStore,
  options,
  sealedVolume,
  source,
  type TestStore,
} from '../support/image-store.ts';

let store: TestStore;
beforeEach(() => {
  store = openTestStore();
});
afterEach(() => store.close());

describe('activations', () => {
  beforeEach(() => {
    sealedVolume(store, { id: 'vol-1' });
    completeImage(store, { id: 'img-1' });
  });
  const wanted = (id: string, name: string | null, effect = id) => ({
    id,
    image: 'img-1',
    device: null,
    options: { ...options, name },
    mountPoint: `/m/${id}`,
    effect,
  });

  it('have names of their own, also seen from another connection', () => {
    const { activations } = store;
    const other = store.reopen();
    assert.equal(activations.choose(wanted('act-1', 'web'), 1)?.id, 'act-1');
    assert.equal(activations.choose(wanted('act-9', 'web', 'act-1'), 1)?.id, 'act-1', 'the same effect');
    assert.throws(() => other.activations.choose(wanted('act-2', 'web'), 1), { code: 'name_taken' });
    activations.removing('act-1', 0);
    activations.forget('act-1');
    assert.equal(other.activations.choose(wanted('act-2', 'web'), 1)?.name, 'web');
    assert.equal(other.activations.choose(wanted('act-3', null), 1)?.name, null);
    assert.equal(other.activations.choose(wanted('act-4', null), 1)?.name, null);
  });

  it('need a complete image', () => {
    const { activations, images } = store;
    images.reserve({ id: 'img-2', family: 'g', source, driver: 'copy', effect: 'e' }, 1);
    for (const image of ['img-2', 'img-none'])
      assert.throws(() => activations.choose({ ...wanted('act-1', null), image }, 1), {
        code: 'image_not_found',
        kind: 'unrecoverable',
      });
  });

  it('are recorded with their place, but not while they are taken down', () => {
    const { activations } = store;
    activations.choose(wanted('act-1', null), 1);
    const place = {
      id: 'act-1',
      path: '/m/act-1',
      rootfs: '/m/act-1/rootfs',
      device: null,
      driver: 'copy' as const,
    };
    activations.record(place);
    activations.record(place);
    const [row] = activations.list();
    assert.deepEqual(
      [row?.state, row?.path, row?.rootfs, row?.family, row?.volume],
      ['active', '/m/act-1', '/m/act-1/rootfs', 'f', 'vol-1'],
    );
    activations.removing('act-1', 0);
    assert.throws(() => activations.record(place), { code: 'activation_not_found' });
    activations.forget('act-1');
    assert.throws(() => activations.record(place), { code: 'activation_not_found' });
  });

  it('keep their row until they are on their way out', () => {
    const { activations } = store;
    activations.choose(wanted('act-1', null), 1);
    activations.forget('act-1');
    assert.equal(activations.find('act-1')?.state, 'creating');
  });

  it('come with all they stand on', () => {
    const { activations } = store;
    const row = activations.choose(
      { ...wanted('act-1', 'n'), options: { ...options, name: 'n', suid: true } },
      1,
    );
    assert.ok(row !== null);
    const { name: _, ...rest } = options;
    assert.deepEqual(activations.tree(row), {
      ...rest,
      suid: true,
      id: 'act-1',
      device: null,
      mountPoint: '/m/act-1',
      base: { id: 'vol-1', parent: null, device: null, sizeBytes: null },
    });
    assert.equal(activations.search('n')?.id, 'act-1');
    assert.equal(activations.search('act-1')?.id, 'act-1');
    assert.equal(activations.search('act-')?.id, undefined);
  });
});

describe('leases', () => {
  const claim = (holder: string, effect = 'e', now = 1) => ({ resource: 'gc', holder, effect, now });
  const living =
    (...names: string[]) =>
    (name: string) =>
      names.includes(name);

  it('are held by one effect of one process, until it gives them back', () => {
    const { leases } = store;
    const other = store.reopen();
    assert.equal(leases.acquire(claim('a'), living('a', 'b')), true);
    assert.equal(leases.acquire(claim('a'), living('a', 'b')), true, 'the same effect again');
    assert.equal(other.leases.acquire(claim('b'), living('a', 'b')), false);
    assert.equal(leases.acquire(claim('a', 'another effect'), living('a')), false);
    other.leases.release(claim('b'));
    assert.deepEqual(other.leases.holder('gc'), { holder: 'a', effect: 'e' });
    leases.release(claim('a'));
    assert.equal(other.leases.acquire(claim('b'), living('a', 'b')), true);
  });

  it('are taken from the dead, by one of those who see that', () => {
    const { leases } = store;
    const other = store.reopen();
    leases.acquire(claim('dead'), living());
    // b finds the holder dead, but before it can write, c has taken over.
    const slow = (name: string) => {
      if (name === 'dead') other.leases.acquire(claim('c'), living('b', 'c'));
      return name === 'c';
    };
    assert.equal(leases.acquire(claim('b'), slow), false);
    assert.deepEqual(leases.holder('gc'), { holder: 'c', effect: 'e' });
  });
});
