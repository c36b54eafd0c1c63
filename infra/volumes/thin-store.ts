import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { unrecoverable } from '#core/errors';
import type { Exec } from '../exec.ts';
import type { Dm, DmOutcome } from './dmsetup.ts';
import { ensurePrivate, exists, idsIn } from './folders.ts';
import type { Pool } from './pool.ts';
import { deviceMax, deviceMin, readPoolDevices } from './pool-devices.ts';
import { sectorBytes } from './pool-size.ts';
import {
  dropThinRecord,
  type FileSystem,
  readThinRecord,
  type ThinRecord,
  writeThinRecord,
} from './thin-record.ts';

export interface ThinWish {
  id: string;
  device: number;
  bytes: number;
  fs: FileSystem;
  /** The sealed volume to start from, or null for an empty device. */
  origin: ThinRecord | null;
}

/** Thin devices by flyd's ids: in the pool, in the records, and mapped. */
export interface ThinStore {
  record(id: string): Promise<ThinRecord | null>;
  /** Fails with `volume_missing` when there is none. */
  mustHave(id: string, op: string): Promise<ThinRecord>;
  /** Puts a device into the pool; one that an earlier call for the same id has put there is success. */
  make(wish: ThinWish, op: string): Promise<ThinRecord>;
  markPrepared(record: ThinRecord): Promise<void>;
  /** Maps it; gives `/dev/mapper/...` and `major:minor`. */
  activate(record: ThinRecord, op: string, readOnly?: boolean): Promise<{ path: string; dev: string }>;
  /** Unmaps it. Not mapped is success. */
  deactivate(id: string, op: string): Promise<void>;
  /** Unmaps it and removes it from the pool and the records. */
  drop(id: string, op: string): Promise<void>;
  chooseDevice(taken: (device: number) => boolean, op: string): Promise<number>;
  /** Every id that has a record or is mapped. */
  ids(): Promise<string[]>;
}

export interface ThinStoreOptions {
  /** `<state>/volumes/devmapper`. */
  folder: string;
  pool: Pool;
  dm: Dm;
  exec: Exec;
}

const busyMs = 5_000;
const busyWaitMs = 100;

export function createThinStore({ folder, pool, dm, exec }: ThinStoreOptions): ThinStore {
  const nameOf = async (id: string): Promise<string | null> => {
    const record = await pool.record();
    return record === null ? null : `flyd-${record.name}-${id}`;
  };

  /** Sends a message; one that the kernel refuses for another reason is told with the pool's state. */
  const send = async (text: string, op: string, needs: 'room' | 'changes' = 'room'): Promise<DmOutcome> => {
    const { record } = await pool.ready(op);
    let outcome: DmOutcome;
    try {
      outcome = await dm.message(record.dmName, text, op);
    } catch (error) {
      await pool.assertHealthy(op, needs); // EINVAL of a message means nothing by itself: first the mode
      throw unrecoverable('driver_failed', `the pool refused: ${text}`, {
        op,
        subject: record.dmName,
        cause: error,
      });
    }
    await pool.assertHealthy(op, needs); // the kernel does not tell when the commit after a message failed
    return outcome;
  };

  const deleteDevice = async (device: number, op: string) => {
    const deadline = performance.now() + busyMs;
    for (;;) {
      const outcome = await send(`delete ${device}`, op, 'changes');
      if (outcome === 'done' || outcome === 'absent') return;
      if (performance.now() > deadline)
        throw unrecoverable('volume_busy', `thin device ${device} is in use`, {
          op,
          subject: String(device),
        });
      await sleep(busyWaitMs);
    }
  };

  /** The device ids that were in an adopted pool when this process first looked. */
  let seen: number[] | null = null;

  const store: ThinStore = {
    record: (id) => readThinRecord(folder, id),

    async mustHave(id, op) {
      const record = await readThinRecord(folder, id);
      if (record !== null) return record;
      throw unrecoverable('volume_missing', `${id} is not in the pool`, {
        op,
        subject: id,
        hint: 'pull the image again',
      });
    },

    async make({ id, device, bytes, fs, origin }, op) {
      await ensurePrivate(folder);
      const earlier = await readThinRecord(folder, id);
      if (earlier !== null && earlier.device !== device)
        throw unrecoverable('driver_failed', `${id} has device ${earlier.device}, not ${device}`, {
          op,
          subject: id,
        });
      const record = earlier ?? { version: 1, id, device, bytes, fs, prepared: false };
      if (earlier === null) await writeThinRecord(folder, record);
      const outcome = await send(
        origin === null ? `create_thin ${device}` : `create_snap ${device} ${origin.device}`,
        op,
      );
      if (outcome === 'done' || (outcome === 'exists' && earlier !== null)) return record;
      await dropThinRecord(folder, id);
      if (outcome === 'absent')
        throw unrecoverable('volume_missing', `${origin?.id} is not in the pool any more`, {
          op,
          subject: id,
          hint: 'flyd doctor --fix drops the image; then pull it again',
        });
      throw unrecoverable('driver_failed', `device ${device} is in the pool already, without a record`, {
        op,
        subject: id,
        hint: `try again: another number is chosen; if nobody needs the device: dmsetup message ${(await pool.ready(op)).record.dmName} 0 'delete ${device}'`,
      });
    },

    markPrepared: (record) => writeThinRecord(folder, { ...record, prepared: true }),

    async activate(record, op, readOnly = false) {
      const live = await pool.ready(op);
      const name = `flyd-${live.record.name}-${record.id}`;
      const sectors = record.bytes / sectorBytes;
      const table = `0 ${sectors} thin ${live.dev} ${record.device}`;
      const mapped = await dm.find(name);
      if (mapped?.live === true) {
        const now = await dm.table(name, op);
        const same =
          now?.target === 'thin' &&
          now.sectors === sectors &&
          now.args[0] === live.dev &&
          now.args[1] === String(record.device) &&
          mapped.readOnly === readOnly;
        if (!same) await dm.remove(name, op, busyCode(record.id));
      }
      const device = await dm.create({ name, uuid: name, table, readOnly }, op);
      return { path: `/dev/mapper/${device.name}`, dev: device.dev };
    },

    async deactivate(id, op) {
      const name = await nameOf(id);
      if (name !== null) await dm.remove(name, op, busyCode(id));
    },

    async drop(id, op) {
      await store.deactivate(id, op);
      const record = await readThinRecord(folder, id);
      if (record === null) {
        // Not even a record: at most what is left of writing one.
        if (await exists(folder)) await dropThinRecord(folder, id);
        return;
      }
      await giveBlocksBack(record);
      const name = await nameOf(id);
      if (name !== null) await dm.forget(name, op);
      await deleteDevice(record.device, op);
      await dropThinRecord(folder, id);

      /** Deleting a thin device frees blocks of the pool, but tells nothing to what the pool is on: a loop file, a disk. */
      async function giveBlocksBack(thin: ThinRecord) {
        const { record: made } = await pool.ready(op);
        if (made.kind === 'adopted' || made.preallocated) return; // another's to decide; the reservation would be lost
        try {
          const { path } = await store.activate(thin, op);
          await exec('blkdiscard', [path], { op, subject: id, timeoutMs: 10 * 60_000 });
        } catch {
          // Only the file stays larger than it must be; and a device that was never made cannot be mapped.
        }
        await store.deactivate(id, op);
      }
    },

    async chooseDevice(taken, op) {
      const known = new Set(await poolDevices(op));
      for (const id of await idsIn(folder)) {
        const record = await readThinRecord(folder, id);
        if (record !== null) known.add(record.device);
      }
      for (let tries = 0; tries < 1000; tries += 1) {
        const device = randomInt(deviceMin, deviceMax + 1);
        if (!taken(device) && !known.has(device)) return device;
      }
      throw unrecoverable('driver_failed', 'no device id of the pool is free', { op });
    },

    async ids() {
      const record = await pool.record();
      const prefix = record === null ? null : `flyd-${record.name}-`;
      const mapped = prefix === null ? [] : await dm.list(prefix);
      const found = mapped.map((device) => device.uuid.slice(prefix?.length ?? 0));
      return [...new Set([...(await idsIn(folder)), ...found])].sort();
    },
  };
  return store;

  /**
   * The device ids of others in an adopted pool, read from its metadata once, because each look makes the pool
   * commit twice; empty without the tool for it. A device that comes later, or whose record was lost, is refused
   * by the kernel when its number is asked for. In a pool of our own everything has a record.
   */
  async function poolDevices(op: string): Promise<number[]> {
    const { record } = await pool.ready(op);
    if (record.kind !== 'adopted') return [];
    seen ??= (await readPoolDevices({ record, pool, dm, exec }, op)) ?? [];
    return seen;
  }
}

const busyCode = (id: string) => (id.startsWith('act-') ? 'activation_busy' : 'volume_busy');
