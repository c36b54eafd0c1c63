import { readFile } from 'node:fs/promises';

/** One line of /proc/<pid>/mountinfo (proc_pid_mountinfo(5)). */
export interface MountEntry {
  id: number;
  parent: number;
  /** `major:minor` of the file system. */
  dev: string;
  /** The folder of the file system that is mounted: `/`, or what was bound. */
  root: string;
  mountPoint: string;
  /** Options of this mount: `ro`, `nosuid`, ... */
  options: string[];
  /** Peer group that it shares with, or null. */
  shared: number | null;
  /** Peer group that it receives from, or null. */
  master: number | null;
  fstype: string;
  source: string;
  /** Options of the file system: `ro`, `upperdir=...`, ... */
  superOptions: string[];
}

/** Reads mountinfo text; lines that make no sense (a newer kernel's) are left out. */
export function parseMountinfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [before, after] = line.split(' - ', 2);
    const [id, parent, dev, root, mountPoint, options, ...tags] = before?.split(' ') ?? [];
    const [fstype, source, superOptions] = after?.split(' ') ?? [];
    if (dev === undefined || root === undefined || mountPoint === undefined || fstype === undefined) continue;
    const tag = (name: string): number | null => {
      const found = tags.find((t) => t.startsWith(`${name}:`));
      return found === undefined ? null : Number(found.slice(name.length + 1));
    };
    entries.push({
      id: Number(id),
      parent: Number(parent),
      dev,
      root: unescapeOctal(root),
      mountPoint: unescapeOctal(mountPoint),
      options: options?.split(',') ?? [],
      shared: tag('shared'),
      master: tag('master'),
      fstype: unescapeOctal(fstype),
      source: unescapeOctal(source ?? ''),
      superOptions: unescapeOctal(superOptions ?? '').split(','),
    });
  }
  return entries;
}

/** The kernel writes space, tab, newline, backslash and # as three octal digits. */
const unescapeOctal = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** All mounts that a process (default: this one) sees, in the order they were made. */
export async function readMounts(pid: number | 'self' = 'self'): Promise<MountEntry[]> {
  return parseMountinfo(await readFile(`/proc/${pid}/mountinfo`, 'utf8'));
}

/** What is mounted at exactly this canonical path, the topmost of a stack; or null. */
export const mountAt = (mounts: readonly MountEntry[], path: string): MountEntry | null =>
  mounts.findLast((m) => m.mountPoint === path) ?? null;

/** Mounts at this canonical path or anywhere below it. */
export const mountsUnder = (mounts: readonly MountEntry[], path: string): MountEntry[] =>
  mounts.filter((m) => isWithin(m.mountPoint, path));

/** Mounts of a block device, given as `major:minor`. */
export const mountsOfDevice = (mounts: readonly MountEntry[], dev: string): MountEntry[] =>
  mounts.filter((m) => m.dev === dev);

/** Whether a canonical path is `folder` or below it. */
export const isWithin = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder === '/' ? '/' : `${folder}/`);
