import { chmod, mkdir, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { recoverable, unrecoverable } from '#core/errors';
import { errnoOf, fileError, syncDir } from '../durable.ts';
import { type Exec, stderrOf } from '../exec.ts';
import { mountsUnder, readMounts } from '../mountinfo.ts';
import { removeSmallTree } from './small-tree.ts';

/** Ids of volumes and activations, as the database makes them. */
const idPattern = /^(vol|act)-[0-9a-f]{16}$/;
/** A folder of such an id, or one that is not finished. */
const folderPattern = /^((?:vol|act)-[0-9a-f]{16})(\.tmp|\.json)?$/;

const treeTimeoutMs = 30 * 60_000;

/** Throws unless the id is one that may become part of a path or a device name. */
export function checkId(id: string): void {
  if (!idPattern.test(id))
    throw unrecoverable('driver_failed', 'not an id of a volume or an activation', { subject: id });
}

/** Whether something is at the path; a link that leads nowhere is not. */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw fileError(error, 'look at', path);
  }
}

/** A folder for nobody but its owner, with its parents. */
export async function ensurePrivate(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw fileError(error, 'make', path);
  });
}

/** Makes sure that `<root>/rootfs` exists, 0755 whatever the umask. Gives its path. */
export async function ensureRootfs(root: string): Promise<string> {
  const rootfs = join(root, 'rootfs');
  try {
    await mkdir(rootfs);
    await chmod(rootfs, 0o755);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw fileError(error, 'make', rootfs);
  }
  return rootfs;
}

/** The ids that have a folder (or an unfinished one, or a record) here, each once, sorted. */
export async function idsIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return [];
    throw fileError(error, 'list', folder);
  });
  const ids = names.map((name) => folderPattern.exec(name)?.[1]).filter((id) => id !== undefined);
  return [...new Set(ids)].sort();
}

/** Splits ids by what they stand for. */
export const sortIds = (ids: readonly string[]): { volumes: string[]; activations: string[] } => ({
  volumes: ids.filter((id) => id.startsWith('vol-')),
  activations: ids.filter((id) => id.startsWith('act-')),
});

export interface TreeOptions {
  exec: Exec;
  op: string;
  /** Root reads and writes whatever the modes say; without it they stand in the way. */
  privileged: boolean;
}

/**
 * Removes a folder with all that is in it, following no link and leaving other file systems alone.
 * Not there is success; something mounted in it is `volume_busy`.
 */
export async function removeTree(path: string, { exec, op, privileged }: TreeOptions): Promise<void> {
  if (!(await exists(path))) return;
  const [mounted] = mountsUnder(await readMounts(), path);
  if (mounted !== undefined)
    throw unrecoverable('volume_busy', `${mounted.mountPoint} is mounted`, {
      op,
      subject: path,
      hint: `umount ${mounted.mountPoint}`,
    });
  if (!removeSmallTree(path, privileged)) await removeLargeTree(path, { exec, op, privileged });
  await syncDir(dirname(path));
}

async function removeLargeTree(path: string, { exec, op, privileged }: TreeOptions): Promise<void> {
  const options = { op, subject: path, timeoutMs: treeTimeoutMs };
  if (!privileged) {
    const unwritable = ['-type', 'd', '!', '-perm', '-700', '-exec', 'chmod', 'u+rwx', '{}', ';'];
    await exec('find', [path, '-xdev', ...unwritable], options);
  }
  await exec('rm', ['-rf', '--one-file-system', '--', path], options);
}

/** What a folder takes of the disk, with all that is in it. What goes away meanwhile is not counted. */
export async function bytesIn(path: string, exec: Exec): Promise<number> {
  const options = { op: 'store.sweep', subject: path, timeoutMs: treeTimeoutMs, okCodes: [0, 1] };
  const args = ['--summarize', '--one-file-system', '--block-size=1', '--', path];
  return Number.parseInt((await exec('du', args, options)).stdout, 10) || 0;
}

/**
 * Copies a tree into `to`, which must not exist: owners (as root), modes, times to the nanosecond,
 * xattrs, hard links, holes, devices; blocks are shared where the file system can. Follows no link.
 * Fails with `no_space`, `permission`, `command_failed`.
 */
export async function copyTree(
  from: string,
  to: string,
  { exec, op, privileged }: TreeOptions,
): Promise<void> {
  const options = { op, subject: to, timeoutMs: treeTimeoutMs };
  const copy = ['cp', '-a', '--reflink=auto', '--sparse=auto', '-T', '--', from, to] as const;
  const [command, ...args] =
    privileged || !(await hasUnreadable(from, exec, op)) ? copy : inUserNamespace(copy);
  try {
    await exec(command, args, options);
  } catch (error) {
    const said = stderrOf(error);
    if (/No space left on device|Disk quota exceeded/.test(said))
      throw recoverable('no_space', `no space to copy ${from}`, { op, subject: to, cause: error });
    if (command === 'unshare' && /^unshare:/m.test(said))
      throw unrecoverable('permission', `${from} has files that their owner may not read`, {
        op,
        subject: from,
        hint: 'run as root, or allow user namespaces without root',
        cause: error,
      });
    throw error;
  }
  await syncFileSystem(to, exec, op);
}

/** `cp` as root of a user namespace of its own: there it may read all files of this user. */
const inUserNamespace = (command: readonly string[]): [string, ...string[]] => [
  'unshare',
  '--map-root-user',
  '--',
  ...command,
];

/** Whether the tree has something that its owner may not read, such as a program of mode 0111. */
async function hasUnreadable(tree: string, exec: Exec, op: string): Promise<boolean> {
  const unreadable = ['(', '-type', 'd', '!', '-perm', '-500', '-o', '-type', 'f', '!', '-perm', '-400', ')'];
  // find itself cannot look into such a folder, and says so by its exit code.
  const options = { op, subject: tree, timeoutMs: treeTimeoutMs, okCodes: [0, 1] };
  const { stdout, code } = await exec('find', [tree, '-xdev', ...unreadable, '-print', '-quit'], options);
  return stdout !== '' || code !== 0;
}

/**
 * Everything written to the file system of this folder is on the disk afterwards, or this throws. By
 * sync(1), not by the system call, which would stop this process for as long as the disk takes.
 */
export async function syncFileSystem(folder: string, exec: Exec, op: string): Promise<void> {
  await exec('sync', ['--file-system', folder], { op, subject: folder, timeoutMs: treeTimeoutMs });
}
