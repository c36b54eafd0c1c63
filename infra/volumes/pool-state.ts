import { join } from 'node:path';
import type { Exec } from '../exec.ts';
import { readDmDevices } from './dm-sysfs.ts';
import { createLoops } from './loop.ts';
import { readPoolRecord } from './pool-record.ts';

/** What of a pool is there now, as a reboot takes it away. */
export interface PoolState {
  /** Its device-mapper name. */
  name: string;
  mapped: boolean;
  /** Files of it that have a loop device. */
  attached: string[];
}

/** How the pool of a state directory stands; null without one. Looks only. Errors: `pool_refused`, `command_failed`. */
export async function poolStateOf(stateDir: string, exec: Exec): Promise<PoolState | null> {
  const op = 'store.restore';
  const record = await readPoolRecord(join(stateDir, 'pool'));
  if (record === null) return null;
  const devices = await readDmDevices();
  const mapped = devices.some(({ name, live }) => live && name === record.dmName);
  const attached: string[] = [];
  if (record.kind === 'loop')
    for (const half of [record.data, record.meta])
      if (half !== null && (await createLoops(exec).find(half.path, op)) !== null) attached.push(half.path);
  return { name: record.dmName, mapped, attached };
}
