import { constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ErrorRecord, fromErrorRecord } from '#core/errors';
import { errnoOf, fileError, removeLeftovers, writeDurably } from './durable.ts';
import { besideModule, inThread } from './threads.ts';

/**
 * How far the filling of a volume has come, written next to its `rootfs/`, where no layer reaches: so
 * that after a crash nobody unpacks over half a tree, or over a whole one. It stays in the sealed
 * volume; a clone of that carries its parent's, which names another volume and so counts for nothing.
 */
export interface FillMark<Report> {
  /** The id of the volume that is, or was, filled. */
  volume: string;
  /** What the filling did; null while it goes on. */
  report: Report | null;
}

export interface VolumeFill {
  /** The mark in a volume's folder; null when it has none that can be read. */
  read<Report>(root: string): Promise<FillMark<Report> | null>;
  /** Puts the mark there, on the disk when it resolves. `no_space`, `permission`, `system_call`. */
  write<Report>(root: string, mark: FillMark<Report>): Promise<void>;
  /** Begins to watch a volume for failing writes, before the first of them. */
  watch(root: string): Promise<WatchedVolume>;
}

export interface WatchedVolume {
  /**
   * Everything written since `watch` is on the disk, or this throws: the kernel tells a failed
   * write-back only to those who had the file system open before (Linux 5.8 and later, syncfs(2)).
   * Waits in a thread of its own, for as long as the disk takes.
   */
  sync(): Promise<void>;
  close(): Promise<void>;
}

const markName = '.flyd-filled';

export const volumeFill: VolumeFill = {
  async read<Report>(root: string) {
    let text: string;
    try {
      text = await readFile(join(root, markName), 'utf8');
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return null;
      throw fileError(error, 'read', join(root, markName));
    }
    return JSON.parse(text) as FillMark<Report>;
  },
  async write(root, mark) {
    await removeLeftovers(join(root, markName)); // whoever fills a volume is alone in it
    await writeDurably(join(root, markName), `${JSON.stringify(mark)}\n`);
  },
  watch,
};

async function watch(root: string): Promise<WatchedVolume> {
  const folder = await open(root, constants.O_RDONLY | constants.O_DIRECTORY).catch((error: unknown) => {
    throw fileError(error, 'open', root);
  });
  return {
    sync: () => syncInThread(folder.fd),
    close: () => folder.close(),
  };
}

const thread = besideModule(import.meta.url, './volume-fill-thread');

async function syncInThread(fd: number): Promise<void> {
  const failed = await inThread<number, ErrorRecord | null>(thread, fd);
  if (failed !== null) throw fromErrorRecord(failed);
}
