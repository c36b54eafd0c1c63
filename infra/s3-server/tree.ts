import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import {
  AT_REMOVEDIR,
  close,
  DT_DIR,
  DT_LNK,
  DT_REG,
  fstat,
  isErrno,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  readdirAt,
  renameat,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
  type Stat,
  tryMkdirat,
  tryUnlinkat,
} from '../sys.ts';
import { S3Error } from './errors.ts';

/**
 * Keys as files below one folder. The kernel keeps every look-up inside it (openat2 with
 * RESOLVE_BENEATH): `..` and links that lead out do not resolve, whoever changes them meanwhile.
 * Links inside to files are followed when reading; folders that are links are not walked or written to.
 */
export interface Tree {
  /** Facts of a regular file, or null. */
  stat(path: string): Stat | null;
  isDirectory(path: string): boolean;
  /** The open file and its facts, or null when there is no regular file. The caller closes it. */
  openFile(path: string): Promise<{ file: FileHandle; stat: Stat } | null>;
  /** Moves a finished file of `fromPath` (outside the tree) to `path`, making folders; durable when it resolves. */
  put(fromPath: string, path: string): Promise<void>;
  /** Removes a file and the folders that it leaves empty, up to the first part of `path`. */
  remove(path: string): Promise<void>;
  makeDirectory(path: string): Promise<boolean>;
  removeDirectory(path: string): 'removed' | 'not empty' | 'missing';
  /** Files and folders of a folder, by the bytes of their names, a folder's with its slash. */
  entries(path: string): TreeEntry[];
  close(): void;
}

export interface TreeEntry {
  name: string;
  kind: 'file' | 'directory';
}

const gone: readonly string[] = ['ENOENT', 'ENOTDIR', 'EXDEV', 'ELOOP', 'ENAMETOOLONG'];
const putAttemptsMax = 5;

/** Opens the tree below `root`, a folder that exists. */
export function openTree(root: string): Tree {
  const rootFd = openFolder(root);

  /** An O_PATH fd, or null when nothing is there that may be reached. */
  function find(path: string, resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS, flags = 0): number | null {
    try {
      return openat2(rootFd, path, { flags: O_PATH | O_CLOEXEC | flags, resolve });
    } catch (error) {
      if (isErrno(error, ...gone)) return null;
      throw denied(error);
    }
  }

  function withFolder<T>(path: string, use: (fd: number) => T): T | null {
    const fd = find(path === '' ? '.' : path, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, O_DIRECTORY);
    if (fd === null) return null;
    try {
      return use(fd);
    } finally {
      close(fd);
    }
  }

  function stat(path: string): Stat | null {
    const fd = find(path);
    if (fd === null) return null;
    try {
      const facts = fstat(fd);
      return (facts.mode & S_IFMT) === S_IFREG ? facts : null;
    } finally {
      close(fd);
    }
  }

  async function openFile(path: string): Promise<{ file: FileHandle; stat: Stat } | null> {
    const fd = find(path);
    if (fd === null) return null;
    try {
      const facts = fstat(fd);
      if ((facts.mode & S_IFMT) !== S_IFREG) return null; // looked at before it is opened: devices and FIFOs react
      return { file: await open(`/proc/self/fd/${fd}`, constants.O_RDONLY), stat: facts };
    } catch (error) {
      throw denied(error);
    } finally {
      close(fd);
    }
  }

  async function put(fromPath: string, path: string): Promise<void> {
    const { folder, leaf } = split(path);
    for (let attempt = 1; ; attempt++) {
      makeFolders(folder);
      try {
        const moved = withFolder(folder, (fd) => {
          renameat(-100, fromPath, fd, leaf);
          return true;
        });
        if (moved === null)
          throw new S3Error('InvalidArgument', 'A part of this key is an object of its own here.');
        await syncFolder(folder);
        return;
      } catch (error) {
        // ENOENT: somebody removed the last other object of this folder, and so the folder
        if (isErrno(error, 'ENOENT') && attempt < putAttemptsMax) continue;
        if (isErrno(error, 'ENAMETOOLONG'))
          throw new S3Error('KeyTooLongError', 'A part of the key is longer than a file name may be.');
        if (isErrno(error, 'EISDIR', 'ENOTEMPTY'))
          throw new S3Error('InvalidArgument', 'This key is the beginning of other keys here.');
        throw denied(error);
      }
    }
  }

  function makeFolders(folder: string): void {
    if (withFolder(folder, () => true) === true) return;
    const parts = folder.split('/');
    for (let depth = 1; depth <= parts.length; depth++) {
      const made = withFolder(parts.slice(0, depth - 1).join('/'), (fd) =>
        tryMkdirat(fd, parts[depth - 1] ?? '', 0o755),
      );
      if (made === -36)
        throw new S3Error('KeyTooLongError', 'A part of the key is longer than a file name may be.');
    }
  }

  async function syncFolder(path: string): Promise<void> {
    const parts = path.split('/');
    for (let depth = parts.length; depth >= 1; depth--) {
      const fd = find(parts.slice(0, depth).join('/'), RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, O_DIRECTORY);
      if (fd === null) continue;
      try {
        await using folder = await open(`/proc/self/fd/${fd}`, constants.O_RDONLY | constants.O_DIRECTORY);
        await folder.sync();
      } finally {
        close(fd);
      }
    }
  }

  async function remove(path: string): Promise<void> {
    let { folder, leaf } = split(path);
    const removed = withFolder(folder, (fd) => tryUnlinkat(fd, leaf));
    if (removed !== 0) return;
    while (folder.includes('/')) {
      ({ folder, leaf } = split(folder));
      if (withFolder(folder, (fd) => tryUnlinkat(fd, leaf, AT_REMOVEDIR)) !== 0) break;
    }
    await syncFolder(folder);
  }

  return {
    stat,
    openFile,
    put,
    remove,
    isDirectory: (path) => withFolder(path, () => true) ?? false,
    async makeDirectory(path) {
      const made = tryMkdirat(rootFd, path, 0o755) === 0;
      if (made) await syncFolder(path);
      return made;
    },
    removeDirectory(path) {
      const result = tryUnlinkat(rootFd, path, AT_REMOVEDIR);
      return result === 0 ? 'removed' : result === -39 ? 'not empty' : 'missing';
    },
    entries: (path) =>
      withFolder(path, (fd) => readFolder(fd, (name) => stat(`${path}/${name}`) !== null)) ?? [],
    close: () => close(rootFd),
  };
}

function openFolder(root: string): number {
  return openat2(-100, root, { flags: O_PATH | O_DIRECTORY | O_CLOEXEC, resolve: 0 });
}

function readFolder(fd: number, linkIsFile: (name: string) => boolean): TreeEntry[] {
  const entries: { sort: Buffer; entry: TreeEntry }[] = [];
  for (const { name: bytes, type } of readdirAt(fd)) {
    const name = bytes.toString('utf8');
    if (!Buffer.from(name).equals(bytes)) continue; // no key can name it
    const kind = type === DT_REG || type === DT_DIR ? type : kindOf(fd, name, linkIsFile);
    if (kind === DT_REG) entries.push({ sort: bytes, entry: { name, kind: 'file' } });
    if (kind === DT_DIR) entries.push({ sort: Buffer.from(`${name}/`), entry: { name, kind: 'directory' } });
  }
  return entries.sort((a, b) => Buffer.compare(a.sort, b.sort)).map(({ entry }) => entry);
}

/** The type of an entry that is a link, or of which the file system did not say what it is. */
function kindOf(folderFd: number, name: string, linkIsFile: (name: string) => boolean): number {
  let fd: number;
  try {
    fd = openat2(folderFd, name, {
      flags: O_PATH | O_CLOEXEC | constants.O_NOFOLLOW,
      resolve: RESOLVE_BENEATH,
    });
  } catch {
    return 0; // gone meanwhile
  }
  try {
    const type = fstat(fd).mode & S_IFMT;
    if (type === S_IFREG) return DT_REG;
    if (type === S_IFDIR) return DT_DIR;
    return linkIsFile(name) ? DT_REG : DT_LNK;
  } finally {
    close(fd);
  }
}

function split(path: string): { folder: string; leaf: string } {
  const slash = path.lastIndexOf('/');
  return { folder: path.slice(0, slash), leaf: path.slice(slash + 1) };
}

const denied = (error: unknown): unknown =>
  isErrno(error, 'EACCES', 'EPERM', 'EROFS')
    ? new S3Error('AccessDenied', 'The files are not accessible.')
    : error;
