import { readdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from './durable.ts';

/** How far one effect is, as its owner last said. */
export interface ProgressEntry {
  run: string;
  effect: string;
  src: string;
  done: number;
  total: number | null;
  unit: string;
  /** Milliseconds since 1970: when it was first and last heard of. */
  since: number;
  at: number;
}

/**
 * Progress that other processes may look at: one small file an owner, `<folder>/<token>.json`, replaced a
 * few times a second and never synced. It is a record of nothing: when it is lost, nothing is.
 */
export interface ProgressBoard {
  /** Notes how far an effect is. */
  put(entry: Omit<ProgressEntry, 'since' | 'at'>): void;
  /** The run has ended, or begun another step: what was noted of it is over. */
  drop(run: string): void;
  close(): void;
}

export interface ProgressBoardOptions {
  folder: string;
  token: string;
  /** What dead owners left behind goes when a board is opened. */
  isAlive: (token: string) => boolean;
  now: () => number;
}

const writeEveryMs = 250;
const entriesMax = 500;

/** Where this process notes its progress. A folder that cannot be written to only loses progress. */
export function createProgressBoard({ folder, token, isAlive, now }: ProgressBoardOptions): ProgressBoard {
  livingBoards(folder, isAlive);
  const path = join(folder, `${token}.json`);
  const entries = new Map<string, ProgressEntry>();
  let timer: NodeJS.Timeout | null = null;
  const save = (): void => {
    timer = null;
    try {
      writeFileSync(`${path}.tmp`, JSON.stringify([...entries.values()].slice(-entriesMax)), { mode: 0o600 });
      renameSync(`${path}.tmp`, path);
    } catch {
      // A full disk must not stop the work that is told of here.
    }
  };
  const later = (): void => {
    timer ??= setTimeout(save, writeEveryMs).unref();
  };
  return {
    put(entry) {
      const key = `${entry.run}/${entry.effect}`;
      entries.set(key, { ...entry, since: entries.get(key)?.since ?? now(), at: now() });
      later();
    },
    drop(run) {
      for (const [key, entry] of entries)
        if (entry.run === run) {
          entries.delete(key);
          later();
        }
    },
    close() {
      if (timer !== null) clearTimeout(timer);
      remove(path);
      remove(`${path}.tmp`);
    },
  };
}

/** What the living owners noted last. Files of dead ones are removed on the way. */
export function readProgress(folder: string, isAlive: (token: string) => boolean): ProgressEntry[] {
  return livingBoards(folder, isAlive).flatMap((name) => {
    if (name.endsWith('.tmp')) return [];
    try {
      return JSON.parse(readFileSync(join(folder, name), 'utf8')) as ProgressEntry[];
    } catch {
      return []; // gone, or not whole: the next look finds more
    }
  });
}

/** The files of living owners; those of dead ones are removed. */
function livingBoards(folder: string, isAlive: (token: string) => boolean): string[] {
  return listBoards(folder).filter((name) => {
    const alive = isAlive(name.replace(/\.json(\.tmp)?$/, ''));
    if (!alive) remove(join(folder, name));
    return alive;
  });
}

function listBoards(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => /\.json(\.tmp)?$/.test(name));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}
