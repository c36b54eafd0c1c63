import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { after, before, test } from 'node:test';
import { whyNot } from '../support/needs.ts';
import { type CommandName, type Drill, drillsOf, type Lab, openFullDiskLab, sweep } from './full-disk-lab.ts';

/**
 * The state directory on a small file system of its own, on which nothing is free any more but so many KiB
 * from some moment of a command on: one write or another fails with ENOSPC. The error says so, nothing is
 * half-done, and when there is room the work ends. What makes room, or looks, ends well all the same.
 * `npm run test:full-disk` tries every moment and every fill.
 */
const skip = whyNot(['root', 'mount', 'losetup', 'overlay', 'erofs', 'btrfs', 'mkfs.btrfs']) ?? false;
let lab: Lab;
before(async () => {
  if (skip === false) lab = await openFullDiskLab();
});
after(() => lab?.close());

const beforeEffects = (...effects: string[]): string[] => effects.map((effect) => `effect:${effect}:before`);

/** What each command meets: fills in KiB at these moments. Effects that all drivers share are tried with one. */
const plan: readonly [CommandName, string, (string | null)[], number[], ('room' | 'inodes')?][] = [
  ['pull', 'overlay', beforeEffects('blob.fetch', 'volume.create', 'volume.unpack'), [40, 1200]],
  [
    'pull',
    'overlay',
    [...beforeEffects('image.register', 'activation.snapshot'), 'commit:pull:2:before'],
    [0],
  ],
  ['pull', 'erofs', beforeEffects('blob.fetch', 'volume.unpack'), [1000, 2500]],
  ['pull', 'erofs', beforeEffects('blob.record'), [1536]],
  ['activate', 'overlay', beforeEffects('activation.mount'), [1], 'inodes'],
  ['pull', 'copy', beforeEffects('volume.unpack', 'activation.snapshot'), [1200]],
  ['activate', 'copy', [null], [0, 900]],
  ['backup', 'overlay', [null], [0, 384]],
  ['gc', 'overlay', [null, 'commit:sweep:1:before'], [0]],
  ['gc', 'btrfs', [null], [0]],
  ['rm', 'overlay', beforeEffects('image.drop'), [0]],
  ['deactivate', 'btrfs', [null], [0]],
  ['deactivate', 'copy', beforeEffects('activation.remove'), [0]],
  ['images', 'overlay', [null], [0]],
  ['unpin', 'overlay', [null], [1], 'inodes'],
  ['rm', 'erofs', beforeEffects('store.sweep'), [0], 'inodes'],
  ['activate', 'overlay', [null], [0, 4], 'inodes'],
];
const drills: Drill[] = [
  ...plan.flatMap((row) => drillsOf(...row)),
  ...drillsOf('gc', 'overlay', [null], [0]).map((drill) => ({
    ...drill,
    killAt: 'effect:store.sweep:before',
  })),
];

test('a full disk is told as such wherever it strikes, and the work goes on when there is room', {
  skip,
}, async (t) => {
  const { failures, tally } = await sweep(lab, drills, availableParallelism());
  for (const [line, times] of tally) t.diagnostic(`${times} x ${line}`);
  assert.deepEqual(failures, []);
});
