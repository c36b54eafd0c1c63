import { parsePoolStatus } from './dm-status.ts';
import type { Dm } from './dmsetup.ts';
import type { Pool } from './pool.ts';

export interface RoomWatchOptions {
  pool: Pick<Pool, 'record'>;
  dm: Pick<Dm, 'findByName' | 'status' | 'fail'>;
  /** How long what is filled may wait for room. Milliseconds, default 60 s, as long as the kernel's own default. */
  waitMs?: number | undefined;
}

/**
 * An adopted pool may let its writers wait when it is full (`queue_if_no_space`,
 * Documentation/admin-guide/device-mapper/thin-provisioning.rst), for as long as `no_space_timeout` of
 * dm_thin_pool says, which can be for ever. A thread that waits there cannot even be killed. So flyd lets go of
 * its own devices: their tables are replaced by one that fails what waits. Nobody else's are touched.
 */
export interface RoomWatch {
  /** From now on the device of this volume fails what the pool has made wait for too long. */
  begin(id: string, op: string): void;
  end(id: string): void;
  /** Fails at once what waits for room: nobody needs it any more. */
  letGo(id: string, op: string): Promise<void>;
  /** Whether the pool is full and makes writers wait. */
  isWaiting(op: string): Promise<boolean>;
}

const lookMs = 1_000;

/** See `RoomWatch`. */
export function createRoomWatch({ pool, dm, waitMs = 60_000 }: RoomWatchOptions): RoomWatch {
  const timers = new Map<string, NodeJS.Timeout>();

  const end = (id: string): void => {
    clearInterval(timers.get(id));
    timers.delete(id);
  };

  const isWaiting = async (op: string): Promise<boolean> => {
    const record = await pool.record();
    // A pool of flyd's own fails at once.
    if (record?.kind !== 'adopted' || (await dm.findByName(record.dmName))?.live !== true) return false;
    const status = parsePoolStatus((await dm.status(record.dmName, op))?.args ?? []);
    return status?.mode === 'out_of_data_space' && !status.errorIfFull;
  };

  const fail = async (id: string, op: string): Promise<void> => {
    const name = `flyd-${(await pool.record())?.name}-${id}`;
    if ((await dm.findByName(name))?.live === true) await dm.fail(name, op);
  };

  return {
    isWaiting,
    end,
    begin(id, op) {
      end(id);
      let since: number | null = null;
      const look = async (): Promise<void> => {
        since = (await isWaiting(op)) ? (since ?? performance.now()) : null;
        if (since === null || performance.now() - since < waitMs || !timers.has(id)) return;
        end(id);
        await fail(id, op);
      };
      // What goes wrong with the look itself is met, and told, where the pool is worked with.
      const timer = setInterval(() => void look().catch(() => undefined), lookMs);
      timer.unref();
      timers.set(id, timer);
    },
    async letGo(id, op) {
      if (await isWaiting(op)) await fail(id, op);
    },
  };
}
