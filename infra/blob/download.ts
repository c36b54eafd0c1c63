import type { FileHandle } from 'node:fs/promises';
import { recoverable, unrecoverable } from '#core/errors';
import type { LayerRef, Source } from '#core/image';
import { collectYoung, giveBackMemory } from '../collection.ts';
import { fileError } from '../durable.ts';
import { unavailableHint } from '../net/failures.ts';
import type { RangeSource } from '../object-source.ts';
import type { Journal } from './journal.ts';
import type { Measuring } from './measuring.ts';

export interface Transfer {
  source: Source;
  layer: LayerRef;
  objects: RangeSource;
  signal: AbortSignal;
  onProgress?: (done: number, total: number) => void;
  /** Holds exactly the bytes that the journal calls synced. */
  data: FileHandle;
  /** Where that is. */
  path: string;
  journal: Journal;
  measuring: Measuring;
  checkpointBytes: number;
}

/** What is gathered before it is written: bytes, chunks (a server may send them one byte at a time), ms. */
const gather = { bytes: 1024 * 1024, chunks: 1024, ms: 1000 };
/** On a slow line a checkpoint comes by time: a crash costs no more than this, and what follows it to the next chunk. */
const checkpointMs = 5000;
/** After so many bytes, of all downloads together, their buffers are collected. */
const collectBytes = 8 * 1024 * 1024;
let uncollected = 0;
/** A heap that V8 left to grow to this is collected before the next layer comes: most of it is of the last. */
const heapBytes = 64 * 1024 * 1024;

/**
 * Brings the rest of the object into the data file: from what is synced on, every `checkpointBytes`
 * on the disk and in the journal. Whatever ends it before its end (also an abort) leaves the journal
 * at the last byte that came, unless that fails too; after its end the last bytes are written, and the
 * caller's to sync. Ends early when the measuring finds the bytes worthless. Gives the bytes that came
 * over the network for this partial, all attempts together.
 */
export async function download(transfer: Transfer): Promise<number> {
  const { layer, journal, measuring, signal } = transfer;
  const start = journal.state.synced;
  transfer.onProgress?.(start, layer.size);
  measuring.extend(start);
  if (start === layer.size) return journal.state.fetched;

  const stop = new AbortController();
  measuring.result.catch((error: unknown) => stop.abort(error));
  const file = writerOf(transfer);
  try {
    await receive(transfer, file, AbortSignal.any([signal, stop.signal]));
  } catch (error) {
    await file.checkpoint().catch(() => undefined); // the first error is the one that matters
    throw error;
  }
  return await file.finish();
}

async function receive(transfer: Transfer, file: Writer, signal: AbortSignal): Promise<void> {
  const { source, layer, objects, journal } = transfer;
  const start = journal.state.synced;
  const opened = await objects.openRange(
    source,
    { key: layer.key, start, etag: layer.etag === '' ? null : layer.etag },
    { signal },
  );
  let toSkip = start - opened.start; // a server that ignores ranges sends everything again
  for await (const chunk of sized(opened, layer)) {
    file.count(chunk.length);
    const fresh = chunk.subarray(Math.min(toSkip, chunk.length));
    toSkip -= chunk.length - fresh.length;
    if (fresh.length > 0) await file.write(fresh);
  }
}

/** The chunks of an answer, never more than the layer's bytes and never fewer. */
async function* sized(
  opened: Awaited<ReturnType<RangeSource['openRange']>>,
  layer: LayerRef,
): AsyncGenerator<Buffer, void> {
  if (opened.size !== null && opened.size !== layer.size) {
    await closeBody(opened.body);
    throw unrecoverable(
      'object_changed',
      `the object has ${opened.size} bytes, it was listed with ${layer.size}`,
      {
        subject: layer.key,
        hint: 'the source was changed while it was pulled: pull again',
      },
    );
  }
  let position = opened.start;
  for await (const chunk of opened.body) {
    position += chunk.length;
    if (position > layer.size)
      throw unrecoverable('size_mismatch', `the object goes on after its ${layer.size} bytes`, {
        subject: layer.key,
        hint: 'the source is broken, or its manifest is stale',
      });
    yield chunk;
  }
  if (position < layer.size)
    throw recoverable('source_unavailable', `the answer ended at byte ${position} of ${layer.size}`, {
      subject: layer.key,
      hint: unavailableHint,
    });
}

async function closeBody(body: AsyncIterable<Buffer>): Promise<void> {
  await body[Symbol.asyncIterator]().return?.();
}

interface Writer {
  /** Counts bytes that came over the network. */
  count(bytes: number): void;
  write(chunk: Buffer): Promise<void>;
  /** Writes out what is gathered, syncs it, and puts it into the journal. */
  checkpoint(): Promise<void>;
  /** Writes out what is gathered; gives the bytes counted so far. */
  finish(): Promise<number>;
}

/**
 * Gathers chunks to larger writes, and syncs while the next bytes come: the journal then speaks only
 * of what was written before that sync began.
 */
function writerOf({ data, path, journal, measuring, layer, checkpointBytes, onProgress }: Transfer): Writer {
  let { synced: written, fetched } = journal.state;
  let gathered: Buffer[] = [];
  let gatheredBytes = 0;
  let flushedAtMs = performance.now();
  let syncedAtMs = flushedAtMs;
  let syncing: Promise<void> | null = null;
  let failure: { error: unknown } | null = null;

  async function flush(): Promise<void> {
    if (gatheredBytes === 0) return;
    const [buffers, bytes] = [gathered, gatheredBytes];
    gathered = [];
    gatheredBytes = 0;
    flushedAtMs = performance.now();
    await writeAll({ data, path }, buffers, bytes, written);
    collectAfter(bytes);
    written += bytes;
    measuring.extend(written);
    onProgress?.(written, layer.size);
  }

  async function sync(): Promise<void> {
    const [bytes, network] = [written, fetched];
    syncedAtMs = performance.now();
    try {
      await data.datasync();
    } catch (error) {
      throw fileError(error, 'sync', path);
    }
    if (bytes > journal.state.synced) await journal.synced(bytes, network);
  }

  const isDue = (): boolean => {
    const bytes = written - journal.state.synced;
    return bytes >= checkpointBytes || (bytes > 0 && performance.now() - syncedAtMs >= checkpointMs);
  };

  async function syncWhileDue(): Promise<void> {
    try {
      while (isDue()) await sync();
    } catch (error) {
      failure = { error };
    }
    syncing = null;
  }

  /** After a failed sync nothing is synced again: the kernel forgets the error, and the pages (fsync(2), Linux). */
  async function settle(): Promise<void> {
    await syncing;
    if (failure !== null) throw failure.error;
    await flush();
  }

  return {
    count(bytes) {
      fetched += bytes;
    },
    async write(chunk) {
      if (failure !== null) throw failure.error;
      gathered.push(chunk);
      gatheredBytes += chunk.length;
      const full = gatheredBytes >= gather.bytes || gathered.length >= gather.chunks;
      if (!full && performance.now() - flushedAtMs < gather.ms) return;
      await flush();
      if (isDue()) syncing ??= syncWhileDue();
    },
    async checkpoint() {
      await settle();
      await sync();
    },
    async finish() {
      await settle();
      giveBackMemory(heapBytes);
      return fetched;
    },
  };
}

function collectAfter(bytes: number): void {
  uncollected += bytes;
  if (uncollected < collectBytes) return;
  uncollected = 0;
  collectYoung();
}

/** All of the buffers at `position`: a write may stop early (a signal, a full disk that gets room). */
async function writeAll(
  { data, path }: Pick<Transfer, 'data' | 'path'>,
  buffers: Buffer[],
  bytes: number,
  position: number,
): Promise<void> {
  try {
    const { bytesWritten } = await data.writev(buffers, position);
    if (bytesWritten === bytes) return;
    const rest = Buffer.concat(buffers).subarray(bytesWritten);
    for (let done = 0; done < rest.length; ) {
      const next = await data.write(rest, done, rest.length - done, position + bytesWritten + done);
      done += next.bytesWritten;
    }
  } catch (error) {
    throw fileError(error, 'write', path);
  }
}
