import { readFileSync } from 'node:fs';
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { errnoOf } from './durable.ts';
import { isWithin, type MountEntry, mountAt, mountsUnder, readMounts } from './mountinfo.ts';

/** Something that keeps a mount, a folder or a device in use. */
export interface Holder {
  /** The process, or null for a mount or a device on top. */
  pid: number | null;
  /** The process's name (comm), or what is on top. */
  name: string;
  /** How it holds it: `cwd`, `root`, `exe`, `fd 3`, `map`, `mount namespace`, `mount`. */
  how: string;
}

const holdersMax = 20;
/** Others have their turn after so many looks at open files. */
const fdsInTurn = 256;

/** `1234 (sh, cwd), 99 (sleep, fd 3)`: one mention for each process, at most 20. */
export function describeHolders(holders: readonly Holder[]): string {
  const named = holders.slice(0, holdersMax).map((h) => `${h.pid ?? ''} (${h.name}, ${h.how})`.trim());
  const more = holders.length - named.length;
  return named.join(', ') + (more > 0 ? ` and ${more} more` : '');
}

/**
 * Who keeps a mount of this namespace busy: processes with their working folder, root, program, an
 * open file or a mapping on it, and mounts below it. Without root only one's own processes are seen.
 */
export async function holdersOf(entry: MountEntry): Promise<Holder[]> {
  const below = mountsUnder(await readMounts(), entry.mountPoint)
    .filter((m) => m.id !== entry.id && m.mountPoint !== entry.mountPoint)
    .map((m): Holder => ({ pid: null, name: m.mountPoint, how: 'mount' }));
  const processes = await eachProcess((pid) => usesMount(pid, entry));
  return [...below, ...processes];
}

/** Who has a folder that is no mount of its own in use; seen by path, in this mount namespace. */
export const holdersOfFolder = (folder: string): Promise<Holder[]> =>
  eachProcess(async (pid) => (await usesLink(pid, folder)) ?? (await usesFd(pid, folder, null)));

/** Who has the block device `major:minor` open, and which mounts of any namespace are of it. */
export async function holdersOfDevice(dev: string): Promise<Holder[]> {
  const stacked = await readdir(`/sys/dev/block/${dev}/holders`).catch(() => []);
  const onTop = stacked.map((name): Holder => ({ pid: null, name, how: 'device on top' }));
  const namespaces = await mountNamespaces();
  const mounted: Holder[] = [];
  for (const { pids, mounts } of namespaces.values()) {
    const [pid] = pids;
    if (pid !== undefined && mounts.some((m) => m.dev === dev))
      mounted.push({ pid, name: await nameOf(pid), how: 'mount namespace' });
  }
  return [...onTop, ...mounted, ...(await eachProcess((pid) => opensDevice(pid, dev)))];
}

/**
 * Who uses the file system of this mount, at the same folder or below, from another mount namespace, such
 * that unmounting it here would not take it away there. A namespace that was merely copied while it was
 * mounted does not count: its copy is at the same place, nobody is in it, and the kernel takes it away
 * with the mount point (rmdir(2) of a folder that is a mount point elsewhere, since Linux 3.19). A copy at
 * another place was put there by somebody.
 */
export async function holdersElsewhere(entry: MountEntry): Promise<Holder[]> {
  const own = await readlink('/proc/self/ns/mnt');
  const mounts = await readMounts();
  const peers = mounts.find((m) => m.id === entry.parent)?.shared ?? null;
  const holders: Holder[] = [];
  for (const [namespace, { pids, mounts: theirs }] of await mountNamespaces()) {
    if (namespace === own) continue;
    const copies = theirs.filter((m) => m.dev === entry.dev && isWithin(m.root, entry.root));
    const staying = copies.filter((copy) => !receives(copy, entry, theirs, peers));
    if (staying.length === 0) continue;
    const [pid = null] = pids;
    const moved = staying.find((copy) => copy.mountPoint !== entry.mountPoint);
    if (moved !== undefined && pid !== null)
      holders.push({ pid, name: await nameOf(pid), how: `mount namespace, at ${moved.mountPoint}` });
    else for (const user of pids) holders.push(...(await userOfCopies(user, entry, staying)));
  }
  return holders;
}

async function userOfCopies(
  pid: number,
  { mountPoint }: MountEntry,
  copies: MountEntry[],
): Promise<Holder[]> {
  const ids = new Set(copies.map(({ id }) => id));
  const how = (await usesLink(pid, mountPoint)) ?? (await usesFd(pid, mountPoint, ids));
  return how === null
    ? []
    : [{ pid, name: await nameOf(pid), how: `${how}, in a mount namespace of its own` }];
}

/** Whether unmounting `entry` propagates to its copy: decided by the mounts that both stand on. */
function receives(copy: MountEntry, entry: MountEntry, mounts: MountEntry[], peers: number | null): boolean {
  const below = mounts.find((m) => m.id === copy.parent);
  const group = below?.shared ?? null;
  const from = below?.master ?? null;
  return peers !== null && copy.root === entry.root && (group === peers || from === peers);
}

interface MountNamespace {
  /** The processes in it. */
  pids: number[];
  /** Its mounts, as the first of them sees them. */
  mounts: MountEntry[];
}

/** Every mount namespace that a process lives in, by its link text. */
async function mountNamespaces(): Promise<Map<string, MountNamespace>> {
  const found = new Map<string, MountNamespace>();
  for (const pid of await processIds()) {
    const namespace = await readlink(`/proc/${pid}/ns/mnt`).catch(() => null);
    if (namespace === null) continue;
    const known = found.get(namespace);
    if (known !== undefined) known.pids.push(pid);
    else {
      const mounts = await readMounts(pid).catch(() => null);
      if (mounts !== null) found.set(namespace, { pids: [pid], mounts });
    }
  }
  return found;
}

async function usesMount(pid: number, entry: MountEntry): Promise<string | null> {
  const mounts = await readMounts(pid);
  const same = mountAt(mounts, entry.mountPoint)?.id === entry.id;
  const ids = new Set(mounts.filter((m) => m.dev === entry.dev && m.root === entry.root).map((m) => m.id));
  return (same ? await usesLink(pid, entry.mountPoint) : null) ?? (await usesFd(pid, entry.mountPoint, ids));
}

/** The links and mappings of a process that lead into the folder. */
async function usesLink(pid: number, folder: string): Promise<string | null> {
  for (const link of ['cwd', 'root', 'exe']) {
    const target = await readlink(`/proc/${pid}/${link}`).catch(() => '');
    if (isWithin(target, folder)) return link;
  }
  const maps = await readFile(`/proc/${pid}/maps`, 'utf8').catch(() => '');
  return maps.includes(` ${folder}/`) ? 'map' : null;
}

/** An open file of a process on one of these mounts, or, without mounts, by its path below the folder. */
async function usesFd(pid: number, folder: string, mountIds: Set<number> | null): Promise<string | null> {
  for (const [at, fd] of (await readdir(`/proc/${pid}/fd`).catch(() => [])).entries()) {
    if (at % fdsInTurn === fdsInTurn - 1) await turn();
    if (mountIds === null) {
      if (isWithin(await readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''), folder)) return `fd ${fd}`;
      continue;
    }
    const id = mountIdOf(`/proc/${pid}/fdinfo/${fd}`);
    if (id !== null && mountIds.has(id)) return `fd ${fd}`;
  }
  return null;
}

/** A host has thousands of open files, and this file never makes its reader wait: a thread for each costs ten times as much. */
function mountIdOf(fdinfo: string): number | null {
  try {
    const id = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(fdinfo, 'latin1'))?.[1];
    return id === undefined ? null : Number(id);
  } catch {
    return null; // closed meanwhile
  }
}

async function opensDevice(pid: number, dev: string): Promise<string | null> {
  for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
    const path = `/proc/${pid}/fd/${fd}`;
    const target = await readlink(path).catch(() => '');
    if (!target.startsWith('/dev/')) continue;
    const { rdev } = await stat(path).catch(() => ({ rdev: 0 }));
    if (rdev !== 0 && deviceText(rdev) === dev) return `fd ${fd}`;
  }
  return null;
}

/** `major:minor` of a device number as stat(2) gives it (makedev(3), the low 32 bits). */
export const deviceText = (rdev: number): string =>
  `${Math.floor(rdev / 256) & 0xfff}:${(rdev & 0xff) | (Math.floor(rdev / 4096) & 0xfff00)}`;

/** Asks every process but kernel threads, one after the other; those that end meanwhile hold nothing. */
async function eachProcess(how: (pid: number) => Promise<string | null>): Promise<Holder[]> {
  const holders: Holder[] = [];
  for (const pid of await processIds()) {
    if (!(await hasProgram(pid))) continue;
    const found = await how(pid).catch(() => null);
    if (found !== null) holders.push({ pid, name: await nameOf(pid), how: found });
  }
  return holders;
}

/** False for a kernel thread, of which a host has hundreds, and for what has ended (proc_pid_exe(5)). */
const hasProgram = (pid: number): Promise<boolean> =>
  readlink(`/proc/${pid}/exe`).then(
    () => true,
    (error: unknown) => errnoOf(error) !== 'ENOENT',
  );

const processIds = async (): Promise<number[]> =>
  (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);

const nameOf = async (pid: number): Promise<string> =>
  (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'gone')).trim();
