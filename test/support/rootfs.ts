import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  type BigIntStats,
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
} from 'node:fs';

/**
 * A root file system as a list, to compare two: path (bytes as latin1, `.` for the root) to a line of
 * everything that a layer can say of an entry. Read with plain system calls and getfattr, no code of flyd.
 */
export type Rootfs = Map<string, string>;

const typeBits = 0o170000n;
const types: Readonly<Record<string, string>> = {
  [String(0o040000)]: 'dir',
  [String(0o100000)]: 'file',
  [String(0o120000)]: 'link',
  [String(0o010000)]: 'fifo',
  [String(0o020000)]: 'char',
  [String(0o060000)]: 'block',
  [String(0o140000)]: 'socket',
};

const fullPath = (root: string, path: string): Buffer => Buffer.from(`${root}/${path}`, 'latin1');

/** Reads the tree below `root`: type, mode, owner, size, sha256, targets, hard-link groups, xattrs, mtimes. */
export function readRootfs(root: string): Rootfs {
  const stats = new Map<string, BigIntStats>();
  const folders = ['.'];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    stats.set(folder, lstatSync(fullPath(root, folder), { bigint: true }));
    for (const name of readdirSync(fullPath(root, folder), { encoding: 'buffer' })) {
      const path = `${folder === '.' ? '' : `${folder}/`}${name.toString('latin1')}`;
      const stat = lstatSync(fullPath(root, path), { bigint: true });
      if (stat.isDirectory()) folders.push(path);
      else stats.set(path, stat);
    }
  }
  const paths = [...stats.keys()].sort();
  const attributes = readAttributes(root);
  const firstOfInode = new Map<string, string>();
  return new Map(
    paths.map((path) => {
      const stat = stats.get(path) as BigIntStats;
      const inode = `${stat.dev}:${stat.ino}`;
      const first = firstOfInode.get(inode) ?? path;
      firstOfInode.set(inode, first);
      const parts = [
        types[String(stat.mode & typeBits)] ?? 'odd',
        (stat.mode & 0o7777n).toString(8).padStart(4, '0'),
        `${stat.uid}:${stat.gid}`,
        `mtime=${stat.mtimeNs}`,
        ...contentOf(root, path, stat),
        ...(first === path ? [] : [`same-file-as=${first}`]),
        ...(attributes.get(path) ?? []),
      ];
      return [path, parts.join(' ')];
    }),
  );
}

function contentOf(root: string, path: string, stat: BigIntStats): string[] {
  if (stat.isSymbolicLink()) return [`target=${readlinkSync(fullPath(root, path), 'latin1')}`];
  if (stat.isFile()) return [`size=${stat.size}`, `sha256=${hashOf(fullPath(root, path))}`];
  if (stat.isCharacterDevice() || stat.isBlockDevice()) return [`device=${stat.rdev}`];
  return [];
}

const chunk = Buffer.alloc(1024 * 1024);

function hashOf(path: Buffer): string {
  const hash = createHash('sha256');
  const fd = openSync(path, 'r');
  try {
    for (let read = readSync(fd, chunk); read > 0; read = readSync(fd, chunk))
      hash.update(chunk.subarray(0, read));
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}

/** `name=0xhex` of each extended attribute, by path; without those that only the host's labels are. */
function readAttributes(root: string): Map<string, string[]> {
  const { stdout, stderr, error } = spawnSync(
    'getfattr',
    ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '.'],
    {
      cwd: root,
      encoding: 'latin1',
      maxBuffer: 256 * 1024 * 1024,
      env: { LC_ALL: 'C', PATH: process.env.PATH },
    },
  );
  if (error !== undefined || stderr !== '') throw new Error(`getfattr: ${error?.message ?? stderr}`);
  const attributes = new Map<string, string[]>();
  for (const block of stdout.split('\n\n')) {
    const [head = '', ...lines] = block.split('\n').filter((line) => line !== '');
    const kept = lines.filter((line) => !line.startsWith('security.selinux=')).sort();
    const path = head
      .replace('# file: ', '')
      .replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    if (kept.length > 0) attributes.set(path, kept);
  }
  return attributes;
}

/** How `now` differs from `then`, a line each; empty when they are the same, entry by entry. */
export function diffRootfs(then: Rootfs, now: Rootfs): string[] {
  const paths = [...new Set([...then.keys(), ...now.keys()])].sort();
  return paths.flatMap((path) => {
    const [before, after] = [then.get(path), now.get(path)];
    if (before === after) return [];
    if (before === undefined) return [`${path}: should not be there: ${after}`];
    if (after === undefined) return [`${path}: is missing: ${before}`];
    return [`${path}: ${after}\n    should be: ${before}`];
  });
}
