import { lstat, stat, unlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { FlydError, recoverable, unrecoverable } from '#core/errors';
import { errnoOf, fileError } from '../durable.ts';
import { type Exec, stderrOf } from '../exec.ts';
import { describeHolders, deviceText, holdersOfDevice } from '../holders.ts';
import { dmStatus, isErrno, mknodat, S_IFBLK } from '../sys.ts';
import { parseTargetLine, type TargetLine } from './dm-status.ts';
import { type DmDevice, readDmDevices } from './dm-sysfs.ts';
import { exists } from './folders.ts';

/** What a message to a pool, or the removal of a device, met; anything else is thrown. */
export type DmOutcome = 'done' | 'exists' | 'absent' | 'busy';

export interface DmTable {
  name: string;
  uuid: string;
  /** One line: `0 <sectors> <target> <args>`. */
  table: string;
  readOnly?: boolean;
}

/** Device-mapper through dmsetup(8) and sysfs. Every device of flyd is found by its uuid; names are for people. */
export interface Dm {
  /** All devices whose uuid starts with `prefix`. */
  list(prefix: string): Promise<DmDevice[]>;
  find(uuid: string): Promise<DmDevice | null>;
  findByName(name: string): Promise<DmDevice | null>;
  /** Makes the device, or finds it made by somebody else meanwhile; its node in /dev/mapper is right afterwards. */
  create(wanted: DmTable, op: string): Promise<DmDevice>;
  /** Removes it, with patience for whoever has it open for a moment. Gone is success. Fails with `code` and names the holders. */
  remove(uuid: string, op: string, code: 'activation_busy' | 'volume_busy'): Promise<void>;
  /** Removes a device of this name that never got its table, if there is one: nobody else sees it. */
  forget(name: string, op: string): Promise<void>;
  /** The one line of its table, or null without a live table. */
  table(name: string, op: string): Promise<TargetLine | null>;
  /** The one line of its status, without making the pool commit (`--noflush`). */
  status(name: string, op: string): Promise<TargetLine | null>;
  resume(name: string, op: string): Promise<void>;
  /** Replaces the table of a mapped device; what is written to it meanwhile waits. */
  reload(name: string, table: string, op: string): Promise<void>;
  /** From now on the device fails whatever is read or written, also what waits already. */
  fail(name: string, op: string): Promise<void>;
  /** Sends a message to a pool. */
  message(name: string, text: string, op: string): Promise<DmOutcome>;
}

export interface DmOptions {
  exec: Exec;
  /** Where a running udevd listens. */
  udevControl?: string;
  /** How long a busy device is tried again. Milliseconds, default 5 s. */
  busyMs?: number;
}

const timeoutMs = 60_000;
const busyWaitMs = 100;
/** dmsetup ends with the kernel's errno as text; LC_ALL=C keeps it English. */
const outcomes: readonly (readonly [RegExp, DmOutcome])[] = [
  [/failed: File exists/, 'exists'],
  [/failed: No data available/, 'absent'],
  [/failed: No such device or address/, 'absent'],
  [/failed: Device or resource busy/, 'busy'],
];

/** See `Dm`. Errors: `command_failed`, `command_timeout`, `command_missing`, `driver_failed`. */
export function createDm({ exec, udevControl = '/run/udev/control', busyMs = 5_000 }: DmOptions): Dm {
  const hasUdev = () => exists(udevControl);
  /** Without a udevd nobody answers the cookie, and dmsetup would wait for ever. */
  const udevArgs = async (): Promise<string[]> =>
    (await hasUdev()) ? ['--verifyudev'] : ['--noudevsync', '--noudevrules'];

  const run = (args: string[], op: string, subject: string) =>
    exec('dmsetup', args, { op, subject, timeoutMs });

  const list: Dm['list'] = async (prefix) =>
    (await readDmDevices()).filter((device) => device.uuid.startsWith(prefix));
  const find: Dm['find'] = async (uuid) => (await list(uuid)).find((device) => device.uuid === uuid) ?? null;

  const resume: Dm['resume'] = async (name, op) => {
    await run(['resume', ...(await udevArgs()), name], op, name);
  };
  const removeNow = async ({ name }: DmDevice, op: string): Promise<DmOutcome> => {
    const outcome = await outcomeOf(run(['remove', ...(await udevArgs()), name], op, name));
    if (outcome !== 'busy' && !(await hasUdev())) await dropNode(name);
    return outcome;
  };

  /**
   * A device that exists but never got its table is what a killed dmsetup leaves. sysfs does not show
   * it; its name is taken. Gives whether there was one.
   */
  const dropTableless = async (name: string, op: string): Promise<boolean> => {
    const { stdout } = await run(['table', name], op, name);
    if (stdout.trim() !== '') return false;
    await outcomeOf(run(['remove', ...(await udevArgs()), name], op, name));
    return true;
  };

  /** One attempt; what went wrong, or null. */
  const make = async ({ name, uuid, table, readOnly = false }: DmTable, op: string): Promise<unknown> => {
    const mode = readOnly ? ['--readonly'] : [];
    const args = ['create', name, '--uuid', uuid, ...mode, ...(await udevArgs()), '--table', table];
    return run(args, op, name).then(
      () => null,
      (error: unknown) => error,
    );
  };

  const line = async (args: string[], name: string, op: string): Promise<TargetLine | null> => {
    const { stdout } = await run([...args, name], op, name);
    return parseTargetLine(stdout.split('\n')[0] ?? '');
  };

  const reload: Dm['reload'] = async (name, table, op) => {
    // Not flushed: a full pool would never come to the end of what waits for room.
    await run(['suspend', '--noflush', '--nolockfs', ...(await udevArgs()), name], op, name);
    try {
      await run(['load', name, '--table', table], op, name);
    } finally {
      await resume(name, op);
    }
  };

  return {
    list,
    find,
    resume,
    findByName: async (name) => (await readDmDevices()).find((device) => device.name === name) ?? null,
    table: (name, op) => line(['table'], name, op),
    async status(name, op) {
      // Asked for around each change of a pool: by the kernel's own call, where that works.
      try {
        return parseTargetLine(dmStatus(name) ?? '');
      } catch {
        return line(['status', '--noflush'], name, op);
      }
    },
    reload,
    async fail(name, op) {
      const table = await line(['table'], name, op);
      if (table !== null) await reload(name, `0 ${table.sectors} error`, op);
    },
    message: (name, text, op) => outcomeOf(run(['message', name, '0', text], op, name)),

    async forget(name, op) {
      // No such device is the usual case, and a failure to dmsetup.
      await dropTableless(name, op).catch((error: unknown) => {
        if (!/No such device or address|doesn't exist/.test(stderrOf(error))) throw error;
      });
    },

    async create(wanted, op) {
      const { name, uuid } = wanted;
      const first = (await find(uuid)) === null ? await make(wanted, op) : null;
      if (
        first !== null &&
        /failed: Device or resource busy/.test(stderrOf(first)) &&
        (await find(uuid)) === null
      )
        if (await dropTableless(name, op)) await make(wanted, op);
      // Whatever dmsetup said: what counts is what is there now.
      const made = await find(uuid);
      if (made === null || !made.live) throw createFailed(first, name, op);
      if (made.suspended) await resume(made.name, op);
      await ensureNode(made, op);
      return made;
    },

    async remove(uuid, op, code) {
      const deadline = performance.now() + busyMs;
      for (;;) {
        const device = await find(uuid);
        if (device === null) return;
        if (device.suspended && device.live) await resume(device.name, op);
        const outcome = await removeNow(device, op);
        if (outcome === 'done' || outcome === 'absent') return;
        if (performance.now() > deadline) throw await held(device, op, code);
        await sleep(busyWaitMs);
      }
    },
  };
}

/** The outcome by its words, or the error itself. */
async function outcomeOf(work: Promise<unknown>): Promise<DmOutcome> {
  try {
    await work;
    return 'done';
  } catch (error) {
    const known = outcomes.find(([words]) => words.test(stderrOf(error)));
    if (known === undefined) throw error;
    return known[1];
  }
}

const nodeOf = (name: string): string => `/dev/mapper/${name}`;

/**
 * The node must lead to this very device: without udev nobody removes the node of a device that went,
 * and its number may belong to another volume by now.
 */
async function ensureNode({ name, dev }: DmDevice, op: string): Promise<void> {
  const node = nodeOf(name);
  const leadsTo = async (): Promise<string | null> => {
    const found = await stat(node).catch(() => null);
    return found?.isBlockDevice() === true ? deviceText(found.rdev) : null;
  };
  if ((await leadsTo()) === dev) return;
  await dropNode(name);
  const [major, minor] = dev.split(':').map(Number);
  try {
    mknodat(-100, node, S_IFBLK | 0o600, major ?? 0, minor ?? 0);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error; // udev was faster
  }
  if ((await leadsTo()) !== dev)
    throw recoverable('driver_failed', `${node} does not lead to ${dev}`, { op, subject: name });
}

async function dropNode(name: string): Promise<void> {
  const node = nodeOf(name);
  const found = await lstat(node).catch(() => null);
  if (found === null || found.isDirectory()) return;
  await unlink(node).catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT') throw fileError(error, 'remove', node);
  });
}

async function held(
  { name, dev }: DmDevice,
  op: string,
  code: 'activation_busy' | 'volume_busy',
): Promise<FlydError> {
  const holders = await holdersOfDevice(dev);
  const who = holders.length === 0 ? 'something that /proc does not show' : describeHolders(holders);
  return unrecoverable(code, `${name} is held by ${who}`, {
    op,
    subject: name,
    hint: 'end what holds it, then try again',
    facts: { holders: holders.map((h) => h.pid ?? h.name).join(' ') },
  });
}

function createFailed(failure: unknown, name: string, op: string): FlydError {
  if (failure instanceof FlydError && failure.code !== 'command_failed') return failure;
  const said = stderrOf(failure).trim();
  return recoverable('driver_failed', `cannot make ${name}: ${said === '' ? 'it has no table' : said}`, {
    op,
    subject: name,
    hint: 'the kernel log (dmesg) may say more',
    cause: failure ?? undefined,
  });
}
