import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FlydError } from '#core/errors';
import { imageProblem, LayerStack, overlayProblem } from '../support/layer-stack.ts';
import { randomOf } from '../support/random.ts';
import { everything, randomEntries } from '../support/random-layers.ts';
import { tar } from '../support/tar-builder.ts';
import { diffTrees, listTree } from '../support/tree.ts';

/** What a layer does: its result, or the code that it fails with. */
function attempt<T>(act: () => T): { value: T } | { code: string } {
  try {
    return { value: act() };
  } catch (error) {
    if (error instanceof FlydError) return { code: error.code };
    throw error;
  }
}

const rounds = Number(process.env.FLYD_TEST_ROUNDS ?? 60);
const firstSeed = Number(process.env.FLYD_TEST_SEED ?? 1);

describe('random stacks of layers', () => {
  it(`flat, overlay (prepared or not) and images give the same tree, ${rounds} times`, {
    skip: overlayProblem() || imageProblem(),
  }, () => {
    for (let seed = firstSeed; seed < firstSeed + rounds; seed++) compare(seed, true);
  });

  it('flat and overlay also with marks that need no root, mounted with userxattr', {
    skip: overlayProblem(),
  }, () => {
    for (let seed = firstSeed; seed < firstSeed + rounds / 4; seed++) compare(seed, false);
  });
});

/** Grows a stack layer by layer, drops those that all forms refuse, and compares what it comes to. */
function compare(seed: number, privileged: boolean): void {
  const r = randomOf(seed);
  const stack = new LayerStack();
  const again = `FLYD_TEST_SEED=${seed} FLYD_TEST_ROUNDS=1 makes it again`;
  const palette = privileged ? everything : { ...everything, devices: false, rootXattrs: false };
  try {
    let layers: Buffer[] = [];
    let tries = 0;
    let last: { rootfs: string; merged: string[]; split: boolean } | null = null;
    for (const depth = 2 + r.below(4); layers.length < depth && tries < 40; tries++) {
      const next = [...layers, tar(...randomEntries(r, palette))];
      const flat = attempt(() => stack.flat(next, {}, privileged));
      const overlay = attempt(() => stack.overlay(next, {}, privileged));
      const images = privileged ? attempt(() => stack.images(next)) : overlay;
      const codes = [flat, overlay, images].map((result) => ('code' in result ? result.code : ''));
      assert.deepEqual(codes, [codes[0], codes[0], codes[0]], again);
      if ('code' in flat || 'code' in overlay || 'code' in images) continue;
      layers = next;
      const merged = [stack.merge(overlay.value.lowers, privileged ? '' : ',userxattr')];
      if (privileged) {
        merged.push(stack.mergeImages(images.value.lowers));
        merged.push(stack.merge(stack.prepared(layers).lowers));
      }
      // Overlayfs cannot keep a lower file's other names together with a link made above it.
      const split = overlay.value.applied.some(({ report }) => report.count('link_group_split') > 0);
      last = { rootfs: flat.value.rootfs, merged, split };
    }
    assert.ok(last !== null, again);
    for (const merged of last.merged) {
      const lines = diffTrees(listTree(last.rootfs), listTree(merged), {
        ignore: last.split ? ['linkGroup'] : [],
      });
      assert.deepEqual(lines, [], again);
    }
  } finally {
    stack.remove();
  }
}
