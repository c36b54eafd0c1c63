import { randomBytes } from 'node:crypto';
import { constants, statfsSync } from 'node:fs';
import { type FileHandle, open, readdir, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { diskHint, FlydError, quotaHint, recoverable, unrecoverable } from '#core/errors';
import { nodeErrno } from './sys/error.ts';

/**
 * Files that a later step trusts. POSIX promises nothing about a file after a power cut but for what
 * fsync was asked for, and a new name is an entry of its folder: so the folder is synced as well.
 */

/** Temp files of `writeDurably` that a kill left behind: `.<name>.flyd-<16 hex>.tmp`, safe to remove when old. */
export const leftoverPattern = /^\..+\.flyd-[0-9a-f]{16}\.tmp$/;

/**
 * Puts the whole of `data` at `path`: a reader sees the old content or the new, never a part, also
 * after a power cut. `mode` is the new file's (default 0600). Fails with `no_space`, `permission`,
 * `system_call`.
 */
export async function writeDurably(path: string, data: string | Uint8Array, mode = 0o600): Promise<void> {
  const temp = join(dirname(path), `.${basename(path)}.flyd-${randomBytes(8).toString('hex')}.tmp`);
  try {
    const file = await open(temp, 'wx', mode);
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temp, path);
  } catch (error) {
    await unlink(temp).catch(() => undefined); // it may never have been made; the first error is the one to tell
    throw fileError(error, 'write', path);
  }
  await syncDir(dirname(path));
}

/**
 * Removes what writers of `path` left in its folder when they were killed. Only for a caller that is
 * alone in writing it: a living writer's temp file looks the same. Fails with `permission`, `system_call`.
 */
export async function removeLeftovers(path: string): Promise<void> {
  const start = `.${basename(path)}.flyd-`;
  const names = await readdir(dirname(path)).catch((error: unknown) => {
    throw fileError(error, 'list', dirname(path));
  });
  for (const name of names)
    if (name.startsWith(start) && leftoverPattern.test(name)) await unlinkDurably(join(dirname(path), name));
}

/**
 * Renames within one file system and makes the new name survive a power cut. The content is the
 * caller's to sync, before. Fails with `no_space`, `permission`, `system_call`.
 */
export async function renameDurably(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    throw fileError(error, 'rename', to);
  }
  await syncDir(dirname(to));
  if (dirname(from) !== dirname(to)) await syncDir(dirname(from));
}

/** Removes the file, durably. True when it was there. Fails with `permission`, `system_call`. */
export async function unlinkDurably(path: string): Promise<boolean> {
  if (!(await unlinkIfThere(path))) return false;
  await syncDir(dirname(path));
  return true;
}

/** Removes the file; its folder is the caller's to sync. True when it was there. Fails as `unlinkDurably` does. */
export async function unlinkIfThere(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw fileError(error, 'remove', path);
  }
}

/** Makes the names in this folder, as they are now, survive a power cut. Fails with `system_call`. */
export async function syncDir(path: string): Promise<void> {
  let dir: FileHandle | undefined;
  try {
    dir = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    await dir.sync();
  } catch (error) {
    throw fileError(error, 'sync', path);
  } finally {
    await dir?.close();
  }
}

/** The `code` of a system error (`ENOENT`), or the empty string. */
export const errnoOf = nodeErrno;

/** Whether it is the system that refused something, and nobody has made a FlydError of it yet. */
export const isSystemError = (error: unknown): boolean => /^E[A-Z0-9]+$/.test(errnoOf(error));

/** What is free there for this process, in words and figures; null where that cannot be told. */
function freeAt(path: string): { text: string; facts: Record<string, number> } | null {
  try {
    const { bavail, bsize, files, ffree } = statfsSync(dirname(path));
    const free = bavail * bsize;
    const text = `${Math.floor(free / 1024)} KiB`;
    // Some file systems have no number of inodes (btrfs).
    if (files === 0) return { text, facts: { free } };
    return { text: `${text} and ${ffree} inodes`, facts: { free, inodes: ffree } };
  } catch {
    return null;
  }
}

const refused: readonly string[] = ['EACCES', 'EPERM'];

/** A failed call on a file as a FlydError: a full disk may be cleaned up, a refusal stays one. FlydErrors pass. */
export function fileError(error: unknown, what: string, path: string): FlydError {
  if (error instanceof FlydError) return error;
  const errno = errnoOf(error);
  const message = `cannot ${what} ${path}: ${errno === '' ? String(error) : errno}`;
  const details = { subject: path, cause: error };
  if (errno === 'EDQUOT')
    return recoverable('no_space', `${message}: a quota is used up`, {
      ...details,
      hint: quotaHint,
      facts: { errno },
    });
  if (errno === 'ENOSPC') {
    const free = freeAt(path);
    const room = free === null ? '' : `; ${free.text} are free on its file system`;
    return recoverable('no_space', `${message}${room}`, {
      ...details,
      hint: `make room on it (df ${dirname(path)}), for instance with flyd gc, then the same again`,
      ...(free === null ? {} : { facts: free.facts }),
    });
  }
  if (errno === 'EROFS')
    return unrecoverable('permission', message, {
      ...details,
      hint: `its file system is mounted read-only: findmnt -T ${dirname(path)}; mount it read-write, then the same again`,
    });
  if (refused.includes(errno))
    return unrecoverable('permission', message, {
      ...details,
      hint: `see whose it is: ls -ld ${path}; run flyd as its owner, then the same again`,
    });
  return recoverable('system_call', message, errno === 'EIO' ? { ...details, hint: diskHint } : details);
}
