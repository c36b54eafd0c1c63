import { readSync } from 'node:fs';

/**
 * The log of the kernel's dm-log-writes target: every write that a device got, in the order in which it
 * became durable. Format: Documentation/admin-guide/device-mapper/log-writes.rst and the structs of
 * drivers/md/dm-log-writes.c. All numbers are little-endian; each entry begins with a sector of its own,
 * the data of a write follow it. Writes are logged when the flush that covers them is done, forced ones
 * (FUA) and marks at once: so whatever lies before a flush or a forced write survives a power cut after it.
 */
export interface LogEntry {
  kind: 'write' | 'flush' | 'discard' | 'mark';
  /** A write that was on the disk when it was answered (FUA). */
  forced: boolean;
  /** What of the device it changes. Bytes. */
  offset: number;
  length: number;
  /** Where its data are in the log. Bytes. */
  data: number;
  /** Text of a mark, else empty. */
  mark: string;
}

const magic = 0x6a736677736872n;
const flags = { flush: 1n, forced: 2n, discard: 4n, mark: 8n } as const;
const headBytes = 32;
/** What the target writes as its last word, when the device is removed. */
const endMark = 'dm-log-writes-end';

/** Reads the whole log; throws unless it is one, of version 1, and came to its end. */
export function readLog(fd: number): LogEntry[] {
  const head = Buffer.alloc(headBytes);
  readFully(fd, head, 0);
  if (head.readBigUInt64LE(0) !== magic || head.readBigUInt64LE(8) !== 1n)
    throw new Error('not a log of dm-log-writes, version 1');
  const count = Number(head.readBigUInt64LE(16));
  const sector = head.readUInt32LE(24);
  const entries: LogEntry[] = [];
  const block = Buffer.alloc(sector);
  for (let at = sector; entries.length < count; ) {
    readFully(fd, block, at);
    const entry = parseEntry(block, sector, at + sector);
    entries.push(entry);
    at += sector + (entry.kind === 'write' ? entry.length : 0);
  }
  const last = entries.at(-1);
  if (last?.mark !== endMark) throw new Error('the log breaks off: was its device full?');
  return entries.slice(0, -1);
}

function parseEntry(block: Buffer, sector: number, data: number): LogEntry {
  const bits = block.readBigUInt64LE(16);
  const has = (flag: bigint): boolean => (bits & flag) !== 0n;
  const length = Number(block.readBigUInt64LE(8)) * sector;
  const textBytes = Number(block.readBigUInt64LE(24));
  // An empty flush has no data; one with data would be a write after it, which device-mapper splits.
  const kind = has(flags.mark) ? 'mark' : has(flags.discard) ? 'discard' : length === 0 ? 'flush' : 'write';
  return {
    kind,
    forced: has(flags.forced),
    offset: Number(block.readBigUInt64LE(0)) * sector,
    length,
    data,
    mark: kind === 'mark' ? block.toString('utf8', headBytes, headBytes + textBytes) : '',
  };
}

/** Reads as many bytes as the buffer has; throws when the file ends before. */
export function readFully(fd: number, into: Buffer, position: number): void {
  for (let done = 0; done < into.length; ) {
    const read = readSync(fd, into, done, into.length - done, position + done);
    if (read === 0) throw new Error(`the log ends at ${position + done}`);
    done += read;
  }
}

/** An instant at which the power may go. */
export interface Moment {
  /** Everything before this entry is on the disk for certain. */
  durable: number;
  /** The writes from `durable` on, up to this entry, were under way: any part of them may be on the disk too. */
  until: number;
  /** Marks that had been set by then. */
  marks: string[];
}

/** The instants after each flush and each forced write, from the mark `from` on; those that equal the one before are left out. */
export function momentsOf(entries: readonly LogEntry[], from: string): Moment[] {
  const start = entries.findIndex(({ mark }) => mark === from);
  if (start === -1) throw new Error(`no mark ${from}`);
  const moments: Moment[] = [];
  const marks: string[] = [];
  let durable = start;
  let news = true;
  for (let at = start; at <= entries.length; at += 1) {
    const entry = entries[at];
    const settles = entry === undefined || entry.kind === 'flush' || (entry.kind === 'write' && entry.forced);
    if (settles) {
      if (news) moments.push({ durable, until: at, marks: [...marks] });
      news = at > durable || entry?.kind === 'write';
      durable = at + 1;
    } else if (entry.kind === 'mark') marks.push(entry.mark);
  }
  return moments;
}
