import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FlydError } from '#core/errors';
import { LayerStack, overlayProblem } from '../support/layer-stack.ts';
import {
  dir,
  file,
  hardlink,
  opaque,
  symlink,
  type TarEntry,
  tar,
  whiteout,
} from '../support/tar-builder.ts';
import { diffTrees, listTree } from '../support/tree.ts';

/** mulberry32: small, seeded, the same everywhere. */
function randomOf(seed: number) {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    below: (n: number) => Math.floor(next() * n),
    pick: <T>(items: readonly T[]): T => items[Math.floor(next() * items.length)] as T,
    chance: (p: number) => next() < p,
  };
}
type Random = ReturnType<typeof randomOf>;

// Few names, so that layers collide all the time.
const names = ['a', 'b', 'c', 'd'];
const pathOf = (r: Random) => Array.from({ length: 1 + r.below(3) }, () => r.pick(names)).join('/');
const attributesOf = (r: Random): TarEntry => ({
  mode: r.pick([0o755, 0o700, 0o1777, 0o2755, 0o500]),
  uid: r.below(3),
  gid: r.below(3),
  mtime: 1000 + r.below(1000),
  ...(r.chance(0.2) ? { pax: { 'SCHILY.xattr.user.x': String(r.below(9)) } } : {}),
});

function entryOf(r: Random, i: number): TarEntry {
  const path = pathOf(r);
  const kind = r.below(100);
  if (kind < 30) return file(path, `data ${i} ${r.below(1000)}`, attributesOf(r));
  if (kind < 50) return dir(path, attributesOf(r));
  if (kind < 60) {
    const target = r.pick([pathOf(r), `/${pathOf(r)}`, `../${pathOf(r)}`, '..', 'nowhere']);
    return symlink(path, target, { uid: r.below(3), mtime: 1000 + r.below(1000) });
  }
  if (kind < 68) return hardlink(path, pathOf(r));
  if (kind < 72) return { name: path, type: '6', ...attributesOf(r) };
  if (kind < 90) return whiteout(path);
  if (kind < 98) return opaque(path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : path);
  return opaque('');
}

/** What a layer does: its result, or the code that it fails with. */
function attempt<T>(act: () => T): { value: T } | { code: string } {
  try {
    return { value: act() };
  } catch (error) {
    if (error instanceof FlydError) return { code: error.code };
    throw error;
  }
}

describe('random stacks of layers', () => {
  const rounds = Number(process.env.FLYD_TEST_ROUNDS ?? 60);
  const firstSeed = Number(process.env.FLYD_TEST_SEED ?? 1);
  it(`flat and overlay give the same tree, ${rounds} times`, { skip: overlayProblem() }, () => {
    for (let seed = firstSeed; seed < firstSeed + rounds; seed++) compare(seed, true);
  });

  it('also with marks that need no root, mounted with userxattr', { skip: overlayProblem() }, () => {
    for (let seed = firstSeed; seed < firstSeed + rounds / 4; seed++) compare(seed, false);
  });
});

/** Grows a stack layer by layer, drops those that both forms refuse, and compares what it comes to. */
function compare(seed: number, privileged: boolean): void {
  const r = randomOf(seed);
  const stack = new LayerStack();
  try {
    const layers: Buffer[] = [];
    let last: { rootfs: string; lowers: string[]; split: boolean } | null = null;
    for (const depth = 2 + r.below(4); layers.length < depth; ) {
      const entries = Array.from({ length: 1 + r.below(12) }, (_, i) => entryOf(r, i));
      const next = [...layers, tar(...entries)];
      const flat = attempt(() => stack.flat(next, {}, privileged));
      const overlay = attempt(() => stack.overlay(next, {}, privileged));
      const codes = [flat, overlay].map((result) => ('code' in result ? result.code : ''));
      assert.equal(codes[0], codes[1], describeIt(seed, entries));
      if ('code' in flat || 'code' in overlay) continue;
      layers.push(...next.slice(layers.length));
      const { lowers, applied } = overlay.value;
      // Overlayfs cannot keep a lower file's other names together with a link made above it.
      const split = applied.some(({ report }) => report.count('link_group_split') > 0);
      last = { rootfs: flat.value.rootfs, lowers, split };
    }
    assert.ok(last !== null);
    const merged = listTree(stack.merge(last.lowers, privileged ? '' : ',userxattr'));
    const lines = diffTrees(listTree(last.rootfs), merged, { ignore: last.split ? ['linkGroup'] : [] });
    assert.deepEqual(lines, [], `seed ${seed}`);
  } finally {
    stack.remove();
  }
}

const describeIt = (seed: number, entries: TarEntry[]) =>
  `seed ${seed}: ${JSON.stringify(entries.map(({ name, type, link }) => [name, type, link]))}`;
