import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { after, before, test } from 'node:test';
import { whyNot } from '../support/needs.ts';
import { type CommandName, type Drill, type Lab, openFullDiskLab, sweep } from './full-disk-lab.ts';

/**
 * The state directory on a small file system of its own, on which nothing is free any more but so many KiB
 * from some moment of a command on: one write or another fails with ENOSPC. The error says so, nothing is
 * half-done, and when there is room the work ends. `npm run test:full-disk` tries every moment and many fills.
 */
const skip = whyNot(['root', 'mount', 'losetup', 'overlay', 'erofs']) ?? false;
let lab: Lab;
before(async () => {
  if (skip === false) lab = await openFullDiskLab();
});
after(() => lab?.close());

const KiB = 1024;
const work = [
  'blob.fetch',
  'volume.create',
  'volume.unpack',
  'volume.seal',
  'image.register',
  'activation.snapshot',
];
const commits = ['commit:pull:2', 'commit:image:3', 'commit:activate:3'];

const drillsOf = (
  command: CommandName,
  driver: string,
  points: readonly (string | null)[],
  fills: readonly number[],
) =>
  points.flatMap((point) => fills.map((free): Drill => ({ command, driver, point, freeBytes: free * KiB })));

const pulls = ['copy', 'overlay', 'erofs'].flatMap((driver) =>
  drillsOf(
    'pull',
    driver,
    work.map((effect) => `effect:${effect}:before`),
    [0, 700],
  ),
);
const others = (['activate', 'deactivate', 'rm', 'gc', 'backup'] as const).flatMap((command) =>
  drillsOf(command, 'overlay', [null], [0, 64, 400]),
);
const drills = [
  ...pulls,
  ...drillsOf(
    'pull',
    'overlay',
    commits.map((commit) => `${commit}:before`),
    [0],
  ),
  ...others,
];

test('a full disk is told as such wherever it strikes, and the work goes on when there is room', {
  skip,
}, async (t) => {
  const { failures, tally } = await sweep(lab, drills, availableParallelism());
  for (const [line, times] of tally) t.diagnostic(`${times} x ${line}`);
  assert.deepEqual(failures, []);
});
