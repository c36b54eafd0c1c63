import fs from 'node:fs';
import { toErrorRecord, unrecoverable } from '#core/errors';
import { fileError, isSystemError } from '../durable.ts';
import { createInflater, type Inflated, type InflateLimits, toEnd } from './inflate.ts';
import { RingStopped, RingWriter } from './ring.ts';
import type { SharedRing } from './ring-memory.ts';
import { wholeFile } from './stored.ts';

export interface InflateJob {
  blobPath: string;
  rawSize: number | null;
  /** `sha256:<hex>`, to be compared; null to hash nothing. */
  diffId: string | null;
  limits: InflateLimits;
  ring: SharedRing;
}

export type InflateAnswer =
  | { ok: true; inflated: Inflated }
  | { ok: false; error: ReturnType<typeof toErrorRecord> }
  | { ok: false; error: null };

function inflate(job: InflateJob, writer: RingWriter): Inflated {
  let seen = 0;
  const inflater = createInflater(job.limits, {
    room: () => writer.reserve(),
    filled(raw) {
      seen += raw.length;
      if (job.rawSize !== null && seen > job.rawSize) throw wrongSize(job, seen);
      writer.commit(raw.length);
    },
  });
  const fd = fs.openSync(job.blobPath, 'r');
  try {
    for (const chunk of wholeFile(fd)) toEnd(inflater.write(chunk));
    const inflated = toEnd(inflater.end());
    if (job.rawSize !== null && inflated.rawBytes !== job.rawSize) throw wrongSize(job, inflated.rawBytes);
    if (job.diffId !== null) compare(job, `sha256:${writer.sum()}`);
    return inflated;
  } finally {
    inflater.destroy();
    fs.closeSync(fd);
  }
}

const wrongSize = (job: InflateJob, found: number) =>
  unrecoverable('size_mismatch', 'the layer inflates to another size than it had when it was fetched', {
    op: 'volume.unpack',
    subject: job.blobPath,
    facts: { expected: job.rawSize, found },
  });

function compare(job: InflateJob, found: string): void {
  if (found === job.diffId) return;
  throw unrecoverable('digest_mismatch', 'the uncompressed layer does not have its diffID', {
    op: 'volume.unpack',
    subject: job.blobPath,
    facts: { expected: job.diffId, found },
  });
}

/** Errors of reading the blob get its path, and what to do. */
const named = (error: unknown, { blobPath }: InflateJob): unknown =>
  isSystemError(error) ? fileError(error, 'read', blobPath) : error;

/** In a thread of its own: reads a blob, inflates it into the ring and compares the sum of the raw bytes. */
export function run(job: InflateJob): InflateAnswer {
  const writer = new RingWriter(job.ring, { sum: job.diffId !== null });
  try {
    const inflated = inflate(job, writer);
    writer.end();
    return { ok: true, inflated };
  } catch (error) {
    writer.fail();
    return { ok: false, error: error instanceof RingStopped ? null : toErrorRecord(named(error, job)) };
  }
}
