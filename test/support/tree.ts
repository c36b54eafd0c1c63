import { createHash } from 'node:crypto';
import fs from 'node:fs';
import * as sys from '#infra/sys';

export type EntryType = 'file' | 'dir' | 'symlink' | 'char' | 'block' | 'fifo' | 'socket';

/** Everything about one entry of a tree that a container could see. */
export interface Entry {
  type: EntryType;
  /** Permission bits with set-uid, set-gid and sticky. Always 0777 for symlinks. */
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of a file; 0 for others. */
  size: number;
  /** Of a file's contents, in hex; empty for others. */
  sha256: string;
  /** Target of a symlink, latin1; empty for others. */
  target: string;
  /** `major:minor` of a device; empty for others. */
  rdev: string;
  /** First path, in byte order, of the names that share this inode; empty when it has one name. */
  linkGroup: string;
  /** Names and values (hex) of xattrs that this process may see, by name. */
  xattrs: Record<string, string>;
  mtimeNs: bigint;
}

export interface ListOptions {
  /** Xattr names to leave out, by prefix. Default: labels of the host and marks of overlayfs. */
  ignoreXattrs?: readonly string[];
}

const hostXattrs = ['security.selinux', 'trusted.overlay.', 'user.overlay.'];

const types: Readonly<Record<number, EntryType>> = {
  [sys.S_IFREG]: 'file',
  [sys.S_IFDIR]: 'dir',
  [sys.S_IFLNK]: 'symlink',
  [sys.S_IFCHR]: 'char',
  [sys.S_IFBLK]: 'block',
  [sys.S_IFIFO]: 'fifo',
  [sys.S_IFSOCK]: 'socket',
};

/**
 * The whole tree below `root`, keyed by path: `.` for the root itself, `./a/b` below, bytes as latin1.
 * In byte order of the paths.
 */
export function listTree(root: string, options: ListOptions = {}): Map<string, Entry> {
  const ignored = options.ignoreXattrs ?? hostXattrs;
  const found: { path: string; entry: Entry; inode: string }[] = [];
  const ahead = ['.'];
  for (let path = ahead.pop(); path !== undefined; path = ahead.pop()) {
    const absolute = Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, 'latin1')]);
    const { entry, inode } = look(absolute, ignored);
    found.push({ path, entry, inode });
    if (entry.type !== 'dir') continue;
    for (const name of fs.readdirSync(absolute, { encoding: 'buffer' }))
      ahead.push(`${path}/${name.toString('latin1')}`);
  }
  found.sort((a, b) => (a.path < b.path ? -1 : 1));
  groupLinks(found);
  return new Map(found.map(({ path, entry }) => [path, entry]));
}

function look(path: Buffer, ignored: readonly string[]): { entry: Entry; inode: string } {
  const stat = sys.fstatat(sys.AT_FDCWD, path, sys.AT_SYMLINK_NOFOLLOW);
  const type = types[stat.mode & sys.S_IFMT];
  if (type === undefined) throw new Error(`unknown type of file: ${stat.mode.toString(8)}`);
  const entry: Entry = {
    type,
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    size: type === 'file' ? stat.size : 0,
    sha256: type === 'file' ? hashFile(path) : '',
    target: type === 'symlink' ? fs.readlinkSync(path, { encoding: 'buffer' }).toString('latin1') : '',
    rdev: type === 'char' || type === 'block' ? `${stat.rdevMajor}:${stat.rdevMinor}` : '',
    linkGroup: '',
    xattrs: readXattrs(path, ignored),
    mtimeNs: stat.mtimeSec * 1_000_000_000n + BigInt(stat.mtimeNsec),
  };
  return { entry, inode: type !== 'dir' && stat.nlink > 1 ? `${stat.dev} ${stat.ino}` : '' };
}

function readXattrs(path: Buffer, ignored: readonly string[]): Record<string, string> {
  const xattrs: Record<string, string> = {};
  const names = sys.llistxattr(path).map((name) => name.toString('latin1'));
  for (const name of names.sort()) {
    if (ignored.some((prefix) => name.startsWith(prefix))) continue;
    xattrs[name] = sys.lgetxattr(path, Buffer.from(name, 'latin1'))?.toString('hex') ?? '';
  }
  return xattrs;
}

function hashFile(path: Buffer): string {
  const hash = createHash('sha256');
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK);
  try {
    const buffer = Buffer.allocUnsafe(1024 * 1024);
    for (let read = fs.readSync(fd, buffer); read > 0; read = fs.readSync(fd, buffer))
      hash.update(buffer.subarray(0, read));
  } finally {
    fs.closeSync(fd);
  }
  return hash.digest('hex');
}

/** Names of one inode get the first of them as their group; a link to something outside the tree makes no group. */
function groupLinks(found: { path: string; entry: Entry; inode: string }[]): void {
  const groups = new Map<string, { path: string; entry: Entry }[]>();
  for (const one of found) {
    if (one.inode === '') continue;
    const group = groups.get(one.inode);
    if (group === undefined) groups.set(one.inode, [one]);
    else group.push(one);
  }
  for (const group of groups.values())
    if (group.length > 1) for (const { entry } of group) entry.linkGroup = group[0]?.path ?? '';
}

export interface DiffOptions {
  /** Fields not to compare. */
  ignore?: readonly (keyof Entry)[];
}

/** What differs between two trees, a line each; empty when they are the same. */
export function diffTrees(
  a: ReadonlyMap<string, Entry>,
  b: ReadonlyMap<string, Entry>,
  options: DiffOptions = {},
): string[] {
  const lines: string[] = [];
  for (const path of [...new Set([...a.keys(), ...b.keys()])].sort()) {
    const left = a.get(path);
    const right = b.get(path);
    if (left === undefined || right === undefined) {
      lines.push(`${path}: only in the ${left === undefined ? 'second' : 'first'}`);
      continue;
    }
    for (const field of Object.keys(left) as (keyof Entry)[]) {
      if (options.ignore?.includes(field)) continue;
      const [was, is] = [show(left[field]), show(right[field])];
      if (was !== is) lines.push(`${path}: ${field} ${was} | ${is}`);
    }
  }
  return lines;
}

const show = (value: Entry[keyof Entry]): string =>
  typeof value === 'object' ? JSON.stringify(value) : String(value);
