import { mkdir, realpath, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FlydError, unrecoverable } from '#core/errors';
import { errnoOf, fileError } from './durable.ts';
import { type Exec, stderrOf } from './exec.ts';
import { describeHolders, type Holder, holdersElsewhere, holdersOf } from './holders.ts';
import { type MountEntry, mountAt, readMounts } from './mountinfo.ts';
import { MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REMOUNT, mount } from './sys.ts';

export interface MountFlags {
  readOnly?: boolean;
  /** Allow set-uid programs. Default: nosuid. */
  suid?: boolean;
  /** Allow device nodes. Default: nodev. */
  dev?: boolean;
  noexec?: boolean;
}

const bits = ({ readOnly, suid, dev, noexec }: MountFlags): number =>
  (readOnly === true ? MS_RDONLY : 0) |
  (suid === true ? 0 : MS_NOSUID) |
  (dev === true ? 0 : MS_NODEV) |
  (noexec === true ? MS_NOEXEC : 0);

/** Whether a mount has exactly these flags. */
export function hasFlags({ options }: MountEntry, { readOnly, suid, dev, noexec }: MountFlags): boolean {
  const is = (option: string, wanted: boolean) => options.includes(option) === wanted;
  return (
    is('ro', readOnly === true) &&
    is('nosuid', suid !== true) &&
    is('nodev', dev !== true) &&
    is('noexec', noexec === true)
  );
}

/** Mounts a block device. What is mounted below it later stays in this mount namespace. */
export function mountDevice(
  device: string,
  target: string,
  fstype: string,
  flags: MountFlags,
  data: string,
): void {
  mount(device, target, fstype, bits(flags), data === '' ? null : data);
  mount(null, target, null, MS_PRIVATE);
}

const flagNames = ({ readOnly, suid, dev, noexec }: MountFlags): string[] => [
  readOnly === true ? 'ro' : 'rw',
  ...(suid === true ? [] : ['nosuid']),
  ...(dev === true ? [] : ['nodev']),
  ...(noexec === true ? ['noexec'] : []),
];

/**
 * As `mountDevice`, by mount(8): mounting writes to the device, and where a write may wait for somebody's help
 * this process must go on. Fails as `exec` does.
 */
export async function mountWaitingDevice(
  device: string,
  target: string,
  fstype: string,
  flags: MountFlags,
  data: string,
  { exec, op }: { exec: Exec; op: string },
): Promise<void> {
  const options = [...flagNames(flags), ...(data === '' ? [] : [data])].join(',');
  const args = ['--no-canonicalize', '--internal-only', '--no-mtab', '--types', fstype, '--options', options];
  await exec('mount', [...args, device, target], { op, subject: device, timeoutMs: mountTimeoutMs });
  makePrivate(target);
}

/** Binds a folder to another place with flags of its own. */
export function bindMount(source: string, target: string, flags: MountFlags): void {
  mount(source, target, null, MS_BIND);
  // Private at once: else a mount made inside the copy would appear inside the original as well.
  mount(null, target, null, MS_PRIVATE);
  setFlags(target, flags);
}

/** Changes the flags of one mount, not of its file system. */
export const setFlags = (target: string, flags: MountFlags): void =>
  mount(null, target, null, MS_REMOUNT | MS_BIND | bits(flags));

/** What is mounted below this mount stays in it. */
export const makePrivate = (target: string): void => mount(null, target, null, MS_PRIVATE);

/**
 * The mount point, made if missing (0700, with its parents), by its canonical path: mountinfo knows
 * no other. Fails with `permission`, `system_call`.
 */
export async function prepareMountPoint(path: string): Promise<string> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const canonical = join(await realpath(dirname(path)), basename(path));
    await mkdir(canonical, { mode: 0o700 }).catch((error: unknown) => {
      if (errnoOf(error) !== 'EEXIST') throw error;
    });
    return canonical;
  } catch (error) {
    throw fileError(error, 'make the mount point', path);
  }
}

/** The canonical path of a mount point that may be gone already: then null. */
export async function findMountPoint(path: string): Promise<string | null> {
  try {
    return join(await realpath(dirname(path)), basename(path));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw fileError(error, 'find the mount point', path);
  }
}

export interface UnmountOptions {
  exec: Exec;
  op: string;
  /** What is unmounted, for people: `activation act-...`. */
  subject: string;
  /** The code of the error when it is held: `activation_busy` or `volume_busy`. */
  busy: 'activation_busy' | 'volume_busy';
  /** How long EBUSY is tried again: a scanner may hold it for a moment. Milliseconds, default 1 s. */
  busyMs?: number;
}

const busyWaitMs = 100;
const mountTimeoutMs = 10 * 60_000;
const stackedMax = 16;

/**
 * Unmounts everything mounted at a canonical path. Not mounted is success. Fails, before it has
 * unmounted anything, when a process holds the mount here or has it in another mount namespace from
 * which this unmount would not take it away; the error names the holders.
 */
export async function unmountAt(path: string, options: UnmountOptions): Promise<void> {
  for (let round = 0; round < stackedMax; round += 1) {
    const entry = mountAt(await readMounts(), path);
    if (entry === null) return;
    const elsewhere = await holdersElsewhere(entry);
    if (elsewhere.length > 0) throw busy(options, elsewhere);
    await unmountTop(entry, options);
  }
  throw unrecoverable('driver_failed', `something keeps mounting at ${path}`, options);
}

/**
 * By umount(8), not by the system call: unmounting writes out what is dirty, and that must not stop
 * this process for as long as a disk takes.
 */
async function unmountTop(entry: MountEntry, options: UnmountOptions): Promise<void> {
  const { exec, op, subject, busyMs = 1_000 } = options;
  const deadline = performance.now() + busyMs;
  for (;;) {
    try {
      const args = ['--no-canonicalize', '--internal-only', entry.mountPoint];
      await exec('umount', args, { op, subject, timeoutMs: mountTimeoutMs });
      return;
    } catch (error) {
      if (!(await readMounts()).some((m) => m.id === entry.id)) return; // somebody else was faster
      if (!/ is busy/.test(stderrOf(error))) throw error;
      if (performance.now() > deadline) throw busy(options, await holdersOf(entry), error);
      await sleep(busyWaitMs);
    }
  }
}

function busy({ op, subject, busy }: UnmountOptions, holders: Holder[], cause?: unknown): FlydError {
  const who = holders.length === 0 ? 'something that /proc does not show' : describeHolders(holders);
  return unrecoverable(busy, `${subject} is held by ${who}`, {
    op,
    subject,
    hint: 'end or leave what holds it, then try again',
    facts: { holders: holders.map((h) => h.pid ?? h.how).join(' ') },
    cause,
  });
}

/** Removes a mount point that is empty and not mounted; leaves anything else as it is. */
export async function removeMountPoint(path: string): Promise<void> {
  await rmdir(path).catch((error: unknown) => {
    if (!['ENOENT', 'ENOTEMPTY', 'EBUSY', 'EEXIST'].includes(errnoOf(error)))
      throw fileError(error, 'remove the mount point', path);
  });
}

/**
 * Unmounts an activation and removes its mount point. Not mounted is success. `activation_busy`, with the
 * holders, when a process holds it.
 */
export async function unmountActivation(
  { id, mountPoint }: { id: string; mountPoint: string },
  exec: Exec,
): Promise<void> {
  const point = await findMountPoint(mountPoint);
  if (point === null) return;
  await unmountAt(point, {
    exec,
    op: 'activation.unmount',
    subject: `activation ${id}`,
    busy: 'activation_busy',
  });
  await removeMountPoint(point);
}
