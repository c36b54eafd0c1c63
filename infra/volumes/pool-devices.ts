import { type Exec, findCommand } from '../exec.ts';
import { devicePath } from './block-device.ts';
import { parsePoolStatus } from './dm-status.ts';
import type { Dm } from './dmsetup.ts';
import type { Pool } from './pool.ts';
import type { PoolRecord } from './pool-record.ts';

/**
 * flyd's range of the 24-bit device ids of a pool. Others that share an adopted pool (LVM,
 * containerd) count up from 1.
 */
export const deviceMin = 0x800000;
export const deviceMax = 0xffffff;

export interface PoolDevicesOptions {
  record: PoolRecord;
  pool: Pick<Pool, 'locked'>;
  dm: Dm;
  exec: Exec;
}

/**
 * The device ids in the metadata of a mapped pool, read from a metadata snapshot with thin_ls(8); null
 * where that tool is missing or somebody else holds the one snapshot there can be.
 */
export async function readPoolDevices(
  { record, pool, dm, exec }: PoolDevicesOptions,
  op: string,
): Promise<number[] | null> {
  if (findCommand('thin_ls') === null && record.kind !== 'adopted') return null;
  const metaDev = (await dm.table(record.dmName, op))?.args[0] ?? '';
  const metaPath = await devicePath(metaDev);
  if (metaPath === null) return null;
  /** A pool that has just turned read-only refuses every message: then nobody can read its devices. */
  const reserve = () =>
    dm.message(record.dmName, 'reserve_metadata_snap', op).catch(async (error: unknown) => {
      const status = parsePoolStatus((await dm.status(record.dmName, op))?.args ?? []);
      if (status?.mode === 'rw' || status?.mode === 'out_of_data_space') throw error;
      return 'refused' as const;
    });
  return pool.locked(op, async () => {
    // One at a time; what our own kind left when it was killed is ours to release, another's is not.
    let held = await reserve();
    if (held === 'busy' && record.kind !== 'adopted') {
      await dm.message(record.dmName, 'release_metadata_snap', op);
      held = await reserve();
    }
    if (held !== 'done') return null;
    try {
      const args = ['--format', 'DEV', '--no-headers', '--metadata-snap', metaPath];
      const { stdout } = await exec('thin_ls', args, { op, subject: metaPath });
      return stdout
        .split(/\s+/)
        .filter((word) => /^\d+$/.test(word))
        .map(Number);
    } finally {
      await dm.message(record.dmName, 'release_metadata_snap', op);
    }
  });
}
