import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  futimesSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { unrecoverable } from '#core/errors';
import { errnoOf, fileError } from './durable.ts';
import { isStopped, killProcess, startTimeOf, stoppedHoldersOf } from './kill-process.ts';
import { flock } from './sys.ts';

/**
 * Who is alive, told by the kernel: each process holds flock(2) on `<folder>/<token>` for its life, and
 * so does every command that it started with `fd`. The file says which process it is; its mtime is the
 * monotonic clock of the host at the owner's last sign of life, so that setting the time kills nobody.
 */
export interface FileOwnerLocks {
  /** The locked file, for children that must count as this owner while they live. */
  readonly fd: number;
  hold(token: string): { release(): void };
  isHeld(token: string): boolean;
  /** Kills the owner, and those of its commands that are stopped; gives whether there was any to kill. */
  kill(token: string, why: string): boolean;
  silentMs(token: string): number | null;
  /** Gives the lock back, if `release` has not. */
  close(): void;
}

export interface OwnerLocksOptions {
  /** `<state>/owners`, which exists. */
  folder: string;
  log?: { warn(fields: object, message: string): void } | undefined;
}

interface OwnerRecord {
  pid: number;
  /** Clock ticks from boot to the start of the process: with the pid, it names one process only. */
  startTime: string;
}

const beatMs = 1_000;
const tokenPattern = /^[A-Za-z0-9_-]{8,64}$/;

/** Takes a lock under a name of its own at once; `hold` gives it the token as its name. */
export function createOwnerLocks({ folder, log }: OwnerLocksOptions): FileOwnerLocks {
  removeAbandoned(folder);
  const nameless = join(folder, `.${randomBytes(16).toString('hex')}`);
  const fd = openLocked(nameless);
  try {
    writeSync(fd, `${JSON.stringify({ pid: process.pid, startTime: startTimeOf(process.pid) })}\n`);
  } catch (error) {
    closeSync(fd);
    removeIfFree(nameless);
    throw fileError(error, 'write', nameless);
  }
  const pathOf = (token: string): string => join(folder, checkToken(token));
  let path = nameless;
  let timer: NodeJS.Timeout | undefined;
  let open = true;

  const close = (): void => {
    if (!open) return;
    open = false;
    clearInterval(timer);
    closeSync(fd);
    // A command that outlives this process keeps the lock, and then the file must stay to tell.
    removeIfFree(path);
  };

  return {
    fd,
    hold(token) {
      if (path !== nameless) throw new Error('one process holds one owner lock');
      beat(fd);
      renameSync(nameless, pathOf(token));
      path = pathOf(token);
      timer = setInterval(() => tryBeat(fd), beatMs);
      timer.unref();
      return { release: close };
    },
    isHeld: (token) => isLocked(pathOf(token)),
    silentMs(token) {
      const seen = statSync(pathOf(token), { throwIfNoEntry: false })?.mtimeMs;
      return seen === undefined ? null : Math.max(0, monotonicMs() - seen);
    },
    kill(token, why) {
      const theirs = pathOf(token);
      const owner = readOwner(theirs);
      if (owner === null || owner.pid === process.pid) return false;
      const killed = killProcess(
        owner.pid,
        // Not a later process of this pid, and still in the way.
        () => startTimeOf(owner.pid) === owner.startTime && isLocked(theirs),
      );
      // A command that was stopped together with it would keep the lock for ever; one that works will end.
      const commands = stoppedHoldersOf(theirs).filter((pid) => killProcess(pid, () => isStopped(pid)));
      log?.warn({ token, pid: owner.pid, why, killed, commands }, 'stuck owner');
      return killed || commands.length > 0;
    },
    close,
  };
}

/** Opens a new file and locks it; again, when somebody who cleans up was faster in between. */
function openLocked(path: string): number {
  for (;;) {
    const fd = openFile(path);
    flock(fd, 'exclusive', false);
    const named = statSync(path, { throwIfNoEntry: false });
    if (named?.ino === fstatSync(fd).ino) return fd;
    closeSync(fd);
  }
}

function openFile(path: string): number {
  try {
    return openSync(path, 'a+', 0o600);
  } catch (error) {
    throw fileError(error, 'make', path);
  }
}

/** A shared lock is enough to ask, and two who ask do not take each other for the owner. */
function isLocked(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
  try {
    return !flock(fd, 'shared', true);
  } finally {
    closeSync(fd);
  }
}

/** Removes the file of an owner that is gone; true if it was. The lock is held meanwhile. */
function removeIfFree(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
  try {
    if (!flock(fd, 'exclusive', true)) return false;
    if (statSync(path, { throwIfNoEntry: false })?.ino !== fstatSync(fd).ino) return false;
    unlinkSync(path);
    return true;
  } finally {
    closeSync(fd);
  }
}

function removeAbandoned(folder: string): void {
  for (const name of readdirSync(folder)) removeIfFree(join(folder, name));
}

const monotonicMs = (): number => Number(process.hrtime.bigint() / 1_000_000n);

function beat(fd: number): void {
  const seconds = monotonicMs() / 1_000;
  futimesSync(fd, seconds, seconds);
}

/** A disk that takes no sign of life takes no work either: that is told where the work meets it. */
function tryBeat(fd: number): void {
  try {
    beat(fd);
  } catch (error) {
    if (errnoOf(error) === '') throw error;
  }
}

function readOwner(path: string): OwnerRecord | null {
  try {
    const { pid, startTime } = JSON.parse(readFileSync(path, 'utf8')) as Partial<OwnerRecord>;
    return typeof pid === 'number' && typeof startTime === 'string' ? { pid, startTime } : null;
  } catch {
    return null; // gone, or written by something else: then there is nobody that may be killed for it
  }
}

function checkToken(token: string): string {
  if (tokenPattern.test(token)) return token;
  throw unrecoverable('unclassified', 'not a token of an owner', { subject: token });
}
