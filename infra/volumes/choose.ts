import { type FlydError, unrecoverable } from '#core/errors';
import type { DriverName, Support, VolumeDriver } from './driver.ts';

/** `auto` tries these in order. */
const order: readonly DriverName[] = ['devmapper', 'erofs', 'overlay', 'copy'];

export interface Rejected {
  name: DriverName;
  reason: string;
  fix: string | null;
}

export interface Choice {
  driver: VolumeDriver;
  /** One line: why this one. */
  reason: string;
  warnings: string[];
  /** The better ones that it was not, and why. */
  rejected: Rejected[];
}

/**
 * The driver that was asked for, or, for `auto`, the best one that can work here. `poolWanted`: a
 * thin pool exists or was asked for; without, auto never makes one. Fails with `driver_unavailable`
 * and the command that mends it.
 */
export async function chooseDriver(
  drivers: Readonly<Record<DriverName, VolumeDriver>>,
  wanted: DriverName | 'auto',
  poolWanted: boolean,
): Promise<Choice> {
  if (wanted !== 'auto') {
    const support = await drivers[wanted].probe();
    if (!support.usable) throw unavailable(wanted, support);
    return { driver: drivers[wanted], reason: 'it was asked for', warnings: support.warnings, rejected: [] };
  }
  const rejected: Rejected[] = [];
  for (const name of order) {
    if (name === 'devmapper' && !poolWanted) {
      const fix = 'give --pool-data and --pool-meta, --pool, or --driver devmapper';
      rejected.push({ name, reason: 'no thin pool is configured', fix });
      continue;
    }
    const support = await drivers[name].probe();
    if (support.usable)
      return { driver: drivers[name], reason: support.reason, warnings: support.warnings, rejected };
    rejected.push({ name, reason: support.reason, fix: support.fix });
  }
  const reasons = rejected.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
  throw unrecoverable('driver_unavailable', `no driver can work here: ${reasons}`, { op: 'volume.choose' });
}

const unavailable = (name: DriverName, { reason, fix }: Support): FlydError =>
  unrecoverable('driver_unavailable', `the ${name} driver cannot work here: ${reason}`, {
    op: 'volume.choose',
    subject: name,
    hint: fix ?? undefined,
  });
