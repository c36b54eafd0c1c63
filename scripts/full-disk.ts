import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import {
  type CommandName,
  commandNames,
  drillsOf,
  openFullDiskLab,
  sweep,
} from '../test/cli/full-disk-lab.ts';
import type { DiskKind } from '../test/support/small-disk.ts';

/**
 * `npm run test:full-disk -- [--commands pull,gc] [--drivers overlay,erofs] [--step KIB] [--to KIB] [--inodes N] [--point POINT]
 *   [--disk ext4|xfs|btrfs] [--at-once N]`:
 * each command on a small disk that fills up: from its start on, and from each moment that it passes (a point of
 * FLYD_FAULT), with 0, STEP, 2 STEP … TO KiB free, and with 0 … N inodes free. Prints how each ended, and every one that
 * ended badly. With --point one moment alone, or `start`.
 */
const { values } = parseArgs({
  options: {
    commands: { type: 'string', default: commandNames.join(',') },
    drivers: { type: 'string', default: 'copy,overlay,erofs,btrfs' },
    step: { type: 'string', default: '256' },
    to: { type: 'string', default: '3072' },
    inodes: { type: 'string', default: '6' },
    point: { type: 'string' },
    disk: { type: 'string' },
    'at-once': { type: 'string', default: String(availableParallelism()) },
  },
});
if (process.getuid?.() !== 0) {
  console.error('needs root, to mount the small disks');
  process.exit(2);
}
const step = Number(values.step);
const fills = Array.from({ length: Math.floor(Number(values.to) / step) + 1 }, (_, n) => n * step);
const inodes = Array.from({ length: Number(values.inodes) + 1 }, (_, n) => n);

const lab = await openFullDiskLab(values.disk === undefined ? undefined : () => values.disk as DiskKind);
const bad: string[] = [];
try {
  for (const command of values.commands.split(',') as CommandName[])
    for (const driver of values.drivers.split(',')) {
      const passed = (await lab.points(command, driver)).filter((point) => point.includes(':before'));
      const points =
        values.point === undefined ? [null, ...passed] : [values.point === 'start' ? null : values.point];
      const drills = drillsOf(command, driver, points, fills);
      if (driver !== 'btrfs' && values.disk !== 'btrfs')
        drills.push(...drillsOf(command, driver, points, inodes, 'inodes'));
      console.log(`${command} ${driver}: ${drills.length} drills`);
      const { failures, tally } = await sweep(lab, drills, Number(values['at-once']), (line) =>
        console.log(`  ${line}`),
      );
      for (const [line, times] of tally) console.log(`${times} x ${line}`);
      bad.push(...failures);
    }
} finally {
  await lab.close();
}
console.log(bad.join('\n'));
console.log(`${bad.length} ended badly`);
process.exit(bad.length === 0 ? 0 : 1);
