import { closeSync, mkdirSync, openSync, readdirSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from './durable.ts';
import { fallocate, flock, isErrno, syncfs, unlock } from './sys.ts';

/**
 * Room that is kept for the commands that make room: on a full disk not even a database can be opened, for
 * SQLite wants its log and the index of that. Several files, because a disk can be out of inodes as well;
 * each allocated really. Together as much as the log grows to before SQLite writes it back: 1,000 pages
 * (sqlite.org/pragma.html#pragma_wal_autocheckpoint).
 */
const pieces = 8;
const pieceBytes = 512 * 1024;

export interface Reserve {
  /** Gives it up unless as much is free besides; from then on until `close` nobody makes it again. */
  giveUpIfFull(): void;
  /** Gives it up; false if it was, or there is none. */
  giveUp(): boolean;
  /** Takes back what was given up, as far as there is room. To be called when all else is closed. */
  close(): void;
}

/**
 * The reserve in `folder`, which is made, with what is missing of it, unless another process has given it up
 * and is at work with it. Never fails: what is wrong with the disk is told by the work itself.
 */
export function openReserve(folder: string): Reserve {
  const lock = openLock(folder);
  if (lock === null) return { giveUpIfFull: () => {}, giveUp: () => false, close: () => {} };
  let isGivenUp = false;

  /** Alone, or not at all: who has given it up holds the lock, shared with others who need it too. */
  const alone = (work: () => boolean): boolean => {
    if (!flock(lock, 'exclusive', true)) return false;
    try {
      return work();
    } finally {
      unlock(lock);
    }
  };
  const giveUp = (): boolean => {
    if (isGivenUp) return false;
    isGivenUp = true;
    flock(lock, 'shared', false);
    removeAll(folder);
    try {
      syncfs(lock); // without, xfs frees inodes only by and by
    } catch {
      // Its disk is worse than full: the work itself meets that.
    }
    return true;
  };

  alone(() => fill(folder));
  return {
    giveUpIfFull() {
      if (!alone(() => fitsTwice(folder))) giveUp();
    },
    giveUp,
    close() {
      if (isGivenUp) {
        unlock(lock);
        alone(() => fill(folder));
      }
      closeSync(lock);
    },
  };
}

function openLock(folder: string): number | null {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return openSync(folder, 'r');
  } catch (error) {
    if (errnoOf(error) === '') throw error;
    return null;
  }
}

const pieceNames = Array.from({ length: pieces }, (_, n) => `piece-${n}`);
const trialNames = pieceNames.map((name) => `${name}.trial`);

/** Allocates what is missing. False where that is more than there is room for. */
function fill(folder: string): boolean {
  for (const name of trialNames) rmSync(join(folder, name), { force: true }); // of a process that was killed
  return allocateAll(folder, pieceNames);
}

/** The only honest way to learn what may be written: quotas and what is reserved for root are in no statfs(2). */
function fitsTwice(folder: string): boolean {
  const fits = fill(folder) && allocateAll(folder, trialNames);
  for (const name of trialNames) rmSync(join(folder, name), { force: true });
  return fits;
}

function allocateAll(folder: string, names: readonly string[]): boolean {
  return names.every((name) => {
    const path = join(folder, name);
    if (statSync(path, { throwIfNoEntry: false })?.size === pieceBytes) return true;
    try {
      allocate(path);
      return true;
    } catch {
      rmSync(path, { force: true });
      return false;
    }
  });
}

function allocate(path: string): void {
  const file = openSync(path, 'w', 0o600);
  try {
    fallocate(file, 0, 0, pieceBytes);
  } catch (error) {
    if (!isErrno(error, 'EOPNOTSUPP')) throw error;
    if (writeSync(file, Buffer.alloc(pieceBytes, 0xa5)) < pieceBytes) throw error;
  } finally {
    closeSync(file);
  }
}

function removeAll(folder: string): void {
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { force: true });
}
