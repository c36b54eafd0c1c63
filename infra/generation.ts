import { closeSync, fdatasyncSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { errnoOf, fileError, syncDir } from './durable.ts';

/**
 * How far the database has come, in a file beside it that is never ahead of it. So a database behind it is an
 * old one, or has lost its newest commits, which SQLite cannot tell from commits that were never finished: it
 * takes its log to end at the first frame that is not whole (sqlite.org/walformat.html, section 4.1). Where
 * there is no database any more, there was one.
 */
export interface Generation {
  /** How many processes have begun to move runs. */
  number: number;
  /** The newest commit of any run. */
  commit: number;
}

/** As many digits as a safe integer has: each line is always as long, so that a write in place is one write. */
const digits = 16;
const lineOf = (number: number): string => `${String(number).padStart(digits, '0')}\n`;
/** Twice: who reads one that is just being written sees two that differ. */
const commitLines = (commit: number): string => lineOf(commit) + lineOf(commit);

const numberOf = (line: string | undefined): number => {
  const number = Number(line);
  return Number.isSafeInteger(number) ? number : 0;
};

/** What was noted, and 0 for what cannot be read; null where nothing ever was. Fails with `permission`, `system_call`. */
export function readGeneration(path: string): Generation | null {
  try {
    const [number, commit, again] = readFileSync(path, 'utf8').split('\n');
    return { number: numberOf(number), commit: commit === again ? numberOf(commit) : 0 };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw fileError(error, 'read', path);
  }
}

/** Notes both, durably, after the database has them. Fails with `no_space`, `permission`, `system_call`. */
export async function writeGeneration(path: string, { number, commit }: Generation): Promise<void> {
  const isNew = statSync(path, { throwIfNoEntry: false }) === undefined;
  try {
    const fd = openSync(path, isNew ? 'a' : 'r+', 0o600);
    try {
      writeSync(fd, lineOf(number) + commitLines(commit), 0);
      fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw fileError(error, 'write', path);
  }
  if (isNew) await syncDir(dirname(path));
}

export interface CommitNotes {
  /** To be called after each commit. */
  note(): void;
  close(): void;
}

/**
 * Notes commits as they happen, without a sync: a process that is killed leaves the note to the kernel, and
 * after a power cut it may be older, which only means that less is noticed. `newest` gives the newest commit.
 */
export function openCommitNotes(path: string, newest: () => number): CommitNotes {
  let fd: number | null = null;
  let noted = 0;
  return {
    note() {
      const commit = newest();
      if (commit === noted) return;
      try {
        fd ??= openSync(path, 'r+');
        writeSync(fd, commitLines(commit), lineOf(0).length);
        noted = commit;
      } catch (error) {
        if (errnoOf(error) === '') throw error; // a note less is no harm
      }
    },
    close() {
      if (fd !== null) closeSync(fd);
      fd = null;
    },
  };
}
