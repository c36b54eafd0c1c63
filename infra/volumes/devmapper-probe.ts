import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { FlydError, unrecoverable } from '#core/errors';
import { findCommand } from '../exec.ts';
import type { Dm } from './dmsetup.ts';
import type { Support } from './driver.ts';
import { moduleAvailable } from './kernel.ts';
import type { Pool } from './pool.ts';
import { describePool, type PoolOptions } from './pool-plan.ts';

export interface ProbeDependencies {
  dm: Dm;
  pool: Pool;
  options: PoolOptions;
  privileged: boolean;
}

const commands = ['dmsetup', 'losetup', 'mkfs.ext4', 'resize2fs', 'wipefs', 'blkdiscard', 'fstrim'];

const no = (reason: string, fix: string | null): Support => ({ usable: false, reason, fix, warnings: [] });

const noKernel = no(
  `the kernel ${release()} has no device-mapper with thin provisioning`,
  'use a kernel with CONFIG_DM_THIN_PROVISIONING',
);

/** Says whether the devmapper driver can work here, and how its pool stands. Looks only. */
export async function probeDevmapper({ dm, pool, options, privileged }: ProbeDependencies): Promise<Support> {
  if (!privileged) return no('device-mapper needs root', 'run as root');
  const wanted = [...commands, ...(options.fs === 'xfs' ? ['mkfs.xfs', 'xfs_growfs'] : [])];
  const missing = wanted.filter((command) => findCommand(command) === null);
  if (missing.length > 0)
    return no(
      `not installed: ${missing.join(', ')}`,
      'apt-get install dmsetup mount util-linux e2fsprogs thin-provisioning-tools xfsprogs',
    );
  if (!(await kernelHas())) return noKernel;
  try {
    return await lookAtPool(dm, pool, options);
  } catch (error) {
    if (error instanceof FlydError) return no(error.message, error.hint ?? null);
    throw error;
  }
}

/** Throws `driver_unavailable` where device-mapper cannot work at all. */
export async function assertKernel(privileged: boolean): Promise<void> {
  if (!privileged)
    throw unrecoverable('driver_unavailable', 'device-mapper needs root', {
      subject: 'devmapper',
      hint: 'run as root',
    });
  if (!(await kernelHas()))
    throw unrecoverable('driver_unavailable', noKernel.reason, {
      subject: 'devmapper',
      hint: noKernel.fix ?? undefined,
    });
}

async function kernelHas(): Promise<boolean> {
  const loaded = /\bdevice-mapper$/m.test(await readFile('/proc/misc', 'utf8').catch(() => ''));
  const modules = await readFile('/proc/modules', 'utf8').catch(() => '');
  const thin = /^dm_thin_pool /m.test(modules) || (await moduleAvailable('dm-thin-pool'));
  return (loaded || (await moduleAvailable('dm-mod'))) && thin;
}

async function lookAtPool(dm: Dm, pool: Pool, options: PoolOptions): Promise<Support> {
  const warnings: string[] = [];
  const record = await pool.record();
  const adopted = record?.kind === 'adopted' ? record.dmName : options.adopt;
  if (adopted !== undefined) {
    if ((await dm.findByName(adopted)) === null) return no(`the pool ${adopted} is not there`, 'dmsetup ls');
    if (findCommand('thin_ls') === null)
      return no('thin_ls is needed to share a pool', 'apt-get install thin-provisioning-tools');
  }
  if (findCommand('thin_ls') === null)
    warnings.push('thin-provisioning-tools is not installed: a damaged pool cannot be checked or repaired');
  const zeroing = record?.zeroing ?? options.skipBlockZeroing !== true;
  if (!zeroing) warnings.push('new blocks are not zeroed: only for a single tenant');
  const loops =
    record === null ? adopted === undefined && options.dataDevice === undefined : record.kind === 'loop';
  if (loops) warnings.push('the pool is on loop files: for trying out, not for production');
  warnings.push(...(record?.warnings ?? []));
  const reason =
    record === null ? 'device-mapper is there; the pool is made on first use' : describePool(record);
  return { usable: true, reason, fix: null, warnings };
}
