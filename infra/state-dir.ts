import { closeSync, openSync } from 'node:fs';
import { lstat, mkdir, readdir, readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FlydError, recoverable, unrecoverable } from '#core/errors';
import { errnoOf, fileError, removeLeftovers, syncDir, writeDurably } from './durable.ts';
import { flock, geteuid } from './sys.ts';
import { fileSystemOf } from './volumes/space.ts';

/** The layout of the state directory, as its file `format` names it. */
const layoutVersion = 1;

/** Where everything of flyd's is, as absolute paths. */
export interface StatePaths {
  root: string;
  db: string;
  /** See infra/generation.ts. */
  generation: string;
  owners: string;
  /** See infra/reserve.ts. */
  reserve: string;
  /** The blob store: `blobs/sha256/` and `partial/` are under it. */
  blobs: string;
  partial: string;
  volumes: string;
  pool: string;
  /** What living owners say of how far they are: for watchers, and a record of nothing. */
  progress: string;
  log: string;
}

export interface StateDir {
  readonly paths: StatePaths;
  /** Gives the shared lock back. */
  close(): void;
}

const folders = ['owners', 'blobs', 'blobs/sha256', 'partial', 'volumes', 'pool', 'progress', 'log'] as const;
/** What may be there before `format` is: a first start that was cut short, and nobody else's files. */
const ownNames: readonly string[] = ['lock', 'format', 'mnt', ...folders];

export const statePaths = (root: string): StatePaths => ({
  root,
  db: join(root, 'flyd.db'),
  generation: join(root, 'generation'),
  owners: join(root, 'owners'),
  reserve: join(root, 'reserve'),
  blobs: join(root, 'blobs'),
  partial: join(root, 'partial'),
  volumes: join(root, 'volumes'),
  pool: join(root, 'pool'),
  progress: join(root, 'progress'),
  log: join(root, 'log'),
});

/**
 * Opens the state directory, and makes it when absent: ours alone (0700), no symlink on the way, not on
 * a network file system, of a layout that this build knows; under a shared lock until `close`.
 * `look` tells the kind of a file system. Fails with `state_dir_refused`, `state_dir_newer`,
 * `state_dir_locked`, `permission`.
 */
export async function openStateDir(path: string, look = fileSystemOf): Promise<StateDir> {
  const root = checkAbsolute(path);
  await ensurePrivate(root);
  const { network, name } = await look(root);
  if (network)
    throw refused(
      root,
      `it is on a network file system (${name}), where locks and SQLite cannot be trusted`,
      {
        hint: 'give a --state-dir on a local disk',
      },
    );
  const lock = openLock(join(root, 'lock'));
  try {
    await lockLayout(lock, root);
    for (const folder of folders) await ensurePrivate(join(root, folder));
  } catch (error) {
    closeSync(lock);
    throw error;
  }
  return { paths: statePaths(root), close: () => closeSync(lock) };
}

/** Whether a state directory was ever made there: to look at one without making it. */
export async function hasStateDir(path: string): Promise<boolean> {
  return (await lstatOrNull(join(path, 'format'))) !== null;
}

/**
 * A folder that is its owner's alone: made with its parents when absent (0700), else checked. Fails with
 * `state_dir_refused` when another may enter it, another owns it, or a link leads to it.
 */
export async function ensurePrivate(path: string): Promise<void> {
  await refuseBadPath(path);
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fileError(error, 'make', path);
  }
  await checkPrivate(path);
}

/** The check of `ensurePrivate` alone: changes nothing. */
export async function checkPrivate(path: string): Promise<void> {
  await refuseBadPath(path);
  const found = await lstatOrNull(path);
  if (found === null) return;
  if (!found.isDirectory()) throw refused(path, 'it is no folder');
  if (found.uid !== geteuid())
    throw refused(path, `it belongs to uid ${found.uid}, and this is uid ${geteuid()}`, {
      hint: 'run flyd as its owner, or give another folder',
    });
  if ((found.mode & 0o077) !== 0 || (found.mode & 0o700) !== 0o700)
    throw refused(path, `its mode is ${octal(found.mode)} and must be 0700`, {
      hint: `look who has been in it, then: chmod 0700 ${path}`,
    });
}

/** Whoever could put a link or another folder in the way would choose what flyd writes to. */
async function refuseBadPath(path: string): Promise<void> {
  for (let at = checkAbsolute(path); ; at = dirname(at)) {
    const found = await lstatOrNull(at);
    if (found?.isSymbolicLink())
      throw refused(path, `${at} is a symbolic link`, { hint: `give the real path: realpath ${path}` });
    const othersMayReplace = at !== path && ((found?.mode ?? 0) & 0o1022) === 0o022;
    if (othersMayReplace)
      throw refused(path, `everybody may write to ${at}`, { hint: 'give a folder below a safer one' });
    if (at === dirname(at)) return;
  }
}

function checkAbsolute(path: string): string {
  if (isAbsolute(path) && resolve(path) === path) return path;
  throw refused(path, 'its path is not absolute, or not in its simplest form');
}

async function lstatOrNull(path: string) {
  try {
    return await lstat(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error))) return null;
    throw fileError(error, 'look at', path);
  }
}

async function readFormat(root: string): Promise<number | null> {
  const path = join(root, 'format');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw fileError(error, 'read', path);
  }
  const version = /^flyd ([1-9][0-9]{0,6})\n$/.exec(text)?.[1];
  if (version === undefined) throw refused(root, 'its file `format` is not one of flyd');
  if (Number(version) > layoutVersion)
    throw unrecoverable('state_dir_newer', `its layout is ${version}; this build knows ${layoutVersion}`, {
      subject: root,
      hint: 'use the newer flyd that made it, or another --state-dir',
    });
  return Number(version);
}

/**
 * Takes the shared lock of a whole layout. Who finds none makes it, alone: the exclusive lock is tried
 * for and never waited for, because whoever made the layout keeps its shared lock for long.
 */
async function lockLayout(lock: number, root: string): Promise<void> {
  for (;;) {
    await take(lock, root);
    if ((await readFormat(root)) !== null) return;
    if (flock(lock, 'exclusive', true) && (await readFormat(root)) === null) await layOut(root);
    else await sleep(lockPauseMs * Math.random());
  }
}

/** `format` comes last: with it, the layout is whole. */
async function layOut(root: string): Promise<void> {
  const strangers = (await readdir(root)).filter((name) => !ownNames.includes(name) && !name.startsWith('.'));
  if (strangers.length > 0)
    throw refused(root, `it holds files that are not flyd's: ${strangers.slice(0, 3).join(', ')}`, {
      hint: 'give an empty or a new folder',
    });
  for (const folder of folders) await ensurePrivate(join(root, folder));
  await syncDir(join(root, 'blobs'));
  await removeLeftovers(join(root, 'format'));
  await writeDurably(join(root, 'format'), `flyd ${layoutVersion}\n`);
  await syncDir(dirname(root));
}

function openLock(path: string): number {
  try {
    return openSync(path, 'a', 0o600);
  } catch (error) {
    throw fileError(error, 'open', path);
  }
}

const lockPauseMs = 20;
const lockWaitMsMax = 10_000;

/** The shared lock; an exclusive one of this same file becomes shared. */
async function take(fd: number, root: string): Promise<void> {
  for (let waited = 0; !flock(fd, 'shared', true); waited += lockPauseMs) {
    if (waited > lockWaitMsMax)
      throw recoverable('state_dir_locked', 'another process changes the layout of the state directory', {
        subject: root,
        hint: `see who: fuser ${join(root, 'lock')}`,
      });
    await sleep(lockPauseMs);
  }
}

const octal = (mode: number): string => `0${(mode & 0o7777).toString(8)}`;

const refused = (path: string, why: string, more: { hint?: string } = {}): FlydError =>
  unrecoverable('state_dir_refused', `${path} cannot be used: ${why}`, { subject: path, ...more });
