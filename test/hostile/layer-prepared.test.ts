import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
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

/**
 * Layers that are unpacked without those below, then put onto them: what is mended, and what has to be
 * applied anew. That the tree is right in every case of the corpus is seen in layer-corpus.test.ts.
 */
describe('layers that are prepared', { skip: overlayProblem() }, () => {
  let stack: LayerStack;
  beforeEach(() => {
    stack = new LayerStack();
  });
  afterEach(() => stack.remove());

  /** The merged tree, equal to that of layers applied one over the other; and which were applied anew. */
  function settle(...layers: TarEntry[][]) {
    const raw = layers.map((entries) => tar(...entries));
    const { lowers, redone } = stack.prepared(raw);
    const tree = listTree(stack.merge(lowers));
    assert.deepEqual(diffTrees(listTree(stack.merge(stack.overlay(raw).lowers)), tree), []);
    return { tree, redone };
  }

  const odd = { mode: 0o2751, uid: 1000, gid: 100, mtime: 1_234_567_890 };

  it('gives directories without an entry what they have below', () => {
    const xattr = { 'SCHILY.xattr.user.flyd': 'below' };
    const { tree, redone } = settle(
      [dir('a', odd), dir('a/b', { ...odd, mode: 0o700, pax: xattr })],
      [file('a/b/c/d'), file('e/f')],
    );
    assert.deepEqual(redone, []);
    for (const [path, mode] of [
      ['./a', 0o2751],
      ['./a/b', 0o700],
    ] as const) {
      const { uid, gid, mtimeNs, mode: found } = tree.get(path) ?? {};
      assert.deepEqual([found, uid, gid, mtimeNs], [mode, 1000, 100, 1_234_567_890_000_000_000n], path);
    }
    assert.equal(Object.keys(tree.get('./a/b')?.xattrs ?? {}).join(), 'user.flyd');
    assert.deepEqual([tree.get('./a/b/c')?.mode, tree.get('./a/b/c')?.mtimeNs], [0o755, 0n]);
  });

  it('carries deletions out over what is below, and over nothing that the layer has itself', () => {
    const { tree, redone } = settle(
      [dir('a', odd), file('a/x'), file('a/y'), dir('b'), file('b/old'), file('c/d/e'), file('top')],
      [
        whiteout('a/x'),
        whiteout('none/x'),
        file('b/new'),
        opaque('b'),
        whiteout('c'),
        file('c/f'),
        whiteout('top'),
      ],
    );
    assert.deepEqual(redone, []);
    assert.deepEqual([...tree.keys()].sort(), ['.', './a', './a/y', './b', './b/new', './c', './c/f']);
    assert.equal(
      tree.get('./a')?.mtimeNs,
      1_234_567_890_000_000_000n,
      'a deletion leaves no trace in the times',
    );
  });

  const lib = [dir('usr/lib'), symlink('lib', 'usr/lib'), file('usr/lib/a')];
  for (const [why, below, layer] of [
    ['a link below stands where an entry goes through', lib, [file('lib/b')]],
    ['a link below stands on the way to a deletion', lib, [whiteout('lib/a')]],
    [
      'a link of the layer stands on the way to a deletion',
      [file('d/x')],
      [symlink('l', 'd'), whiteout('l/x')],
    ],
    ['a hard link means a file below', lib, [hardlink('b', 'usr/lib/a')]],
    ['the layer replaces something of its own', [dir('a')], [file('a/b'), symlink('a', 'c')]],
    ['the layer has a file on the way to an entry', [dir('a')], [file('x'), file('x/y')]],
  ] as [string, TarEntry[], TarEntry[]][])
    it(`are applied anew when ${why}`, () => {
      assert.deepEqual(settle(below, layer).redone, [1]);
    });

  for (const [why, below, layer] of [
    ['an entry replaces a link below by a directory', lib, [dir('lib'), file('lib/b')]],
    [
      'a link of the layer leads out',
      lib,
      [symlink('evil', '/../../etc'), file('evil/passwd'), file('evil/x/y')],
    ],
    ['a hard link means a file of the layer', lib, [file('a/b'), hardlink('c', 'a/b'), hardlink('a/d', 'c')]],
    ['a file below becomes a directory', [file('a')], [file('a/b')]],
  ] as [string, TarEntry[], TarEntry[]][])
    it(`are not applied anew when ${why}`, () => {
      assert.deepEqual(settle(below, layer).redone, []);
    });
});
