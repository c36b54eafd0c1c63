import { setImmediate } from 'node:timers/promises';
import { type ErrorRecord, fromErrorRecord } from '#core/errors';
import { besideModule, inThread } from '../threads.ts';
import { foundBy, type LookJob, listOnce, measureFiles, newLook, untilListed } from './file-looking.ts';
import type { LookOrder } from './file-looking-thread.ts';
import { lookersFor } from './lookers.ts';

/** What a folder has, as `core/blob-files.ts` compares it. */
export interface FilesFound {
  names: Uint8Array;
  /** Bytes of each; -1 of one that is gone again, or not a file. */
  sizes: Float64Array;
}

/**
 * Begins to list a folder, in another thread when that is worth it, and gives a function that sees to its end
 * and gives all names of `nameBytes` bytes. None when there is no folder.
 */
export function startListing(
  folder: string,
  threads = lookersFor(folder, 'names'),
): () => Promise<Uint8Array> {
  const { job, list } = start(folder, { threads, measure: false });
  return async () => {
    await list();
    return foundBy(job).names;
  };
}

/** The same, and looks at each of the files. What these are by then is for the caller to expect: some may be gone. */
export function startMeasuring(
  folder: string,
  threads = lookersFor(folder, 'sizes'),
): () => Promise<FilesFound> {
  const { job, list, others } = start(folder, { threads, measure: true });
  return async () => {
    await list();
    for (const _ of measureFiles(job)) await setImmediate();
    await others;
    return foundBy(job);
  };
}

const thread = besideModule(import.meta.url, './file-looking-thread');

function start(folder: string, { threads, measure }: { threads: number; measure: boolean }) {
  const job: LookJob = newLook(folder);
  const look = async (): Promise<void> => {
    const failed = await inThread<LookOrder, ErrorRecord | null>(thread, { ...job, measure });
    if (failed !== null) throw fromErrorRecord(failed);
  };
  const others = Promise.all(Array.from({ length: threads }, look));
  others.catch(() => {}); // told to whoever waits for the end
  /** Whoever comes first lists: a thread may not have started yet. */
  const list = async (): Promise<void> => {
    if (listOnce(job)) return;
    // A thread that breaks down tells nobody that its listing is over.
    await Promise.race([untilListed(job), others]);
    if (job.names.byteLength === 0) await others;
  };
  return { job, list, others };
}
