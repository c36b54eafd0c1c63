import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { type LogEntry, type Moment, readFully } from './log-writes.ts';
import type { Torn } from './plan.ts';

/** Disks tear a write at this size, not below. Bytes. */
const pieceBytes = 4096;

/** A disk as the power cut of some moment left it, in a sparse file. Moments must be asked for in rising order. */
export interface ReplayedDisk {
  /** Writes everything that was durable at the moment into the file `path` of the disk. */
  advance(moment: Moment): void;
  close(): void;
}

/** Opens (and makes) the file `path`, `bytes` large, and fills it from the log `log`. */
export function replayDisk(
  path: string,
  bytes: number,
  log: number,
  entries: readonly LogEntry[],
): ReplayedDisk {
  const disk = openSync(path, 'w+', 0o600);
  ftruncateSync(disk, bytes);
  let done = 0;
  return {
    advance({ durable }) {
      if (durable < done) throw new Error('a disk is not replayed backwards');
      for (; done < durable; done += 1) applyEntry(disk, log, entries[done]);
    },
    close: () => closeSync(disk),
  };
}

/**
 * Writes a part of what was under way at the moment into the disk `path`, as the dice say: each write,
 * or each 4 KiB of a larger one, with a likelihood that is itself diced. Gives how many pieces of how many,
 * and whether they were whole writes.
 */
export function tear(
  path: string,
  log: number,
  entries: readonly LogEntry[],
  { durable, until }: Moment,
  dice: () => number,
): Torn {
  const disk = openSync(path, 'r+');
  const likelihood = [0.05, 0.3, 0.5, 0.7, 0.95][Math.floor(dice() * 5)] ?? 0.5;
  const whole = dice() < 0.3;
  let kept = 0;
  let of = 0;
  try {
    for (const entry of entries.slice(durable, until))
      for (const piece of whole ? [entry] : piecesOf(entry)) {
        of += 1;
        if (dice() >= likelihood) continue;
        kept += 1;
        applyEntry(disk, log, piece);
      }
  } finally {
    closeSync(disk);
  }
  return { kept, of, whole };
}

function* piecesOf(entry: LogEntry): Generator<LogEntry> {
  if (entry.kind !== 'write') return yield entry;
  for (let done = 0; done < entry.length; done += pieceBytes)
    yield {
      ...entry,
      offset: entry.offset + done,
      data: entry.data + done,
      length: Math.min(pieceBytes, entry.length - done),
    };
}

const zeros = Buffer.alloc(1024 * 1024);

function applyEntry(disk: number, log: number, entry: LogEntry | undefined): void {
  if (entry === undefined || entry.kind === 'mark' || entry.kind === 'flush') return;
  if (entry.kind === 'write') {
    const data = Buffer.allocUnsafe(entry.length);
    readFully(log, data, entry.data);
    writeFully(disk, data, entry.offset);
    return;
  }
  for (let done = 0; done < entry.length; done += zeros.length)
    writeFully(disk, zeros.subarray(0, Math.min(zeros.length, entry.length - done)), entry.offset + done);
}

function writeFully(fd: number, data: Buffer, position: number): void {
  for (let done = 0; done < data.length; )
    done += writeSync(fd, data, done, data.length - done, position + done);
}
