import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { recoverable } from '#core/errors';
import type { DiffId, Digest } from '#core/ids';
import type { LayerMediaType } from '#core/image';
import { fileError, syncDir } from '../durable.ts';
import { flock } from '../sys.ts';

/**
 * What is known of a partial download, next to its bytes: one line a fact, `<crc32 in hex> <json>`,
 * appended and fsynced after the bytes it speaks of. A line that a power cut has torn ends the
 * journal; everything before it holds.
 *
 * The file is also the lock of the partial: an exclusive flock on it, held while it is open.
 */
export interface PartialObject {
  endpoint: string | null;
  bucket: string;
  key: string;
  etag: string;
  size: number;
}

/** What a blob's bytes turned out to be. */
export interface Measured {
  digest: Digest;
  diffId: DiffId;
  size: number;
  rawSize: number;
  mediaType: LayerMediaType;
}

export interface PartialState {
  object: PartialObject | null;
  /** Bytes from the start that are on the disk for sure. */
  synced: number;
  /** Bytes that came over the network so far, as last written down. */
  fetched: number;
  /** Set once every byte is there and judged; all that is left is the rename. */
  whole: Measured | null;
}

type Line =
  | ({ fact: 'object' } & PartialObject)
  | { fact: 'synced'; synced: number; fetched: number }
  | ({ fact: 'whole'; fetched: number } & Measured);

export interface Journal {
  readonly state: Readonly<PartialState>;
  /** Forgets everything and begins with this object; on the disk when it resolves, as everything below, its folder too. */
  begin(object: PartialObject): Promise<void>;
  synced(bytes: number, fetched: number): Promise<void>;
  whole(measured: Measured, fetched: number): Promise<void>;
  close(): Promise<void>;
}

const linesMax = 1_000_000;
const openAttemptsMax = 100;

/**
 * Opens or makes the journal, takes its lock, reads it and cuts off a torn end. Fails with
 * `partial_busy` while somebody else holds it.
 */
export async function openJournal(path: string): Promise<Journal> {
  const file = await openLocked(path);
  try {
    const read = parseJournal(await file.readFile());
    await file.truncate(read.goodBytes);
    return journalOn(file, path, read);
  } catch (error) {
    await file.close();
    throw fileError(error, 'read', path);
  }
}

/** Opens and locks; starts over when the path has come to mean another file in between (a removal). */
async function openLocked(path: string): Promise<FileHandle> {
  for (let attempt = 1; attempt <= openAttemptsMax; attempt++) {
    const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600).catch(
      (error) => {
        throw fileError(error, 'open', path);
      },
    );
    const locked = flock(file.fd, 'exclusive', true);
    const mine = await file.stat();
    const there = await stat(path).catch(() => null);
    if (locked && there?.ino === mine.ino && there.dev === mine.dev) return file;
    await file.close();
    if (!locked) break;
  }
  throw recoverable('partial_busy', 'another process is fetching this blob', { subject: path });
}

/** The state that the good lines tell, and how many bytes they take. */
export function parseJournal(bytes: Buffer): { state: PartialState; goodBytes: number } {
  const state: PartialState = { object: null, synced: 0, fetched: 0, whole: null };
  let goodBytes = 0;
  for (let lines = 0; lines < linesMax; lines++) {
    const end = bytes.indexOf(0x0a, goodBytes);
    if (end === -1) break;
    const line = parseLine(bytes.subarray(goodBytes, end));
    if (line === null) break;
    apply(state, line);
    goodBytes = end + 1;
  }
  return { state, goodBytes };
}

function parseLine(line: Buffer): Line | null {
  const text = line.subarray(9);
  if (line.length < 10 || line.toString('latin1', 0, 9) !== `${checksum(text)} `) return null;
  return JSON.parse(text.toString('utf8')) as Line;
}

const checksum = (text: Buffer): string => crc32(text).toString(16).padStart(8, '0');

function apply(state: PartialState, line: Line): void {
  if (line.fact === 'object') {
    const { fact: _, ...object } = line;
    Object.assign(state, { object, synced: 0, fetched: 0, whole: null });
    return;
  }
  state.fetched = line.fetched;
  if (line.fact === 'synced') state.synced = line.synced;
  else {
    const { fact: _, fetched: __, ...measured } = line;
    state.whole = measured;
    state.synced = measured.size;
  }
}

function journalOn(file: FileHandle, path: string, read: ReturnType<typeof parseJournal>): Journal {
  const { state } = read;
  let end = read.goodBytes;
  async function append(line: Line): Promise<void> {
    const text = Buffer.from(JSON.stringify(line));
    const bytes = Buffer.concat([Buffer.from(`${checksum(text)} `), text, Buffer.from('\n')]);
    try {
      await file.write(bytes, 0, bytes.length, end);
      await file.datasync();
    } catch (error) {
      throw fileError(error, 'write', path);
    }
    end += bytes.length;
    apply(state, line);
  }
  return {
    state,
    async begin(object) {
      await file.truncate(0);
      end = 0;
      await append({ fact: 'object', ...object });
      await syncDir(dirname(path)); // the names of journal and data
    },
    synced: (bytes, fetched) => append({ fact: 'synced', synced: bytes, fetched }),
    whole: (measured, fetched) => append({ fact: 'whole', fetched, ...measured }),
    close: () => file.close(),
  };
}
