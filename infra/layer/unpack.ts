import type { Progress } from '#core/effect';
import { type ErrorRecord, fromErrorRecord } from '#core/errors';
import type { DiffId } from '#core/ids';
import type { Compression } from '#core/image';
import type { Limits } from '#core/limits';
import type { ImageTarget } from '../erofs/apply.ts';
import { AT_FDCWD, close, O_CLOEXEC, O_DIRECTORY, O_RDONLY, openat, syncfs } from '../sys.ts';
import { besideModule, inThread } from '../threads.ts';
import type { ApplyTarget } from './apply.ts';
import type { ApplyAnswer, ApplyJob } from './apply-thread.ts';
import type { InflateAnswer, InflateJob } from './inflate-thread.ts';
import type { LayerWarning, WarningCode } from './report.ts';
import { giveBack, readProgress, type SharedRing, stopRing, takeRing } from './ring-memory.ts';

export interface UnpackOptions {
  /** The layer as stored, compressed or not. */
  blobPath: string;
  /** What the fetch found; a `diffId` is hashed again in the inflating thread and compared. */
  expected: { rawSize?: number; diffId?: DiffId };
  target: ApplyTarget | ImageTarget;
  limits: Limits;
  signal: AbortSignal;
  /** Called some five times a second with raw bytes done. */
  onProgress?: (progress: Progress) => void;
  /** Sync the file system of the target at the end. Default true. An image is synced in any case. */
  sync?: boolean;
}

export interface Unpacked {
  compression: Compression;
  /** Entries of the layer, whiteouts not counted. */
  entries: number;
  /** Bytes written into files. */
  bytes: number;
  /** Bytes of the uncompressed layer. */
  rawBytes: number;
  warnings: LayerWarning[];
  /** What a user who is not root had to leave out. */
  skipped: { owners: number; devices: number; setuid: number; xattrs: number };
}

const progressMs = 200;

/**
 * Unpacks one layer into a volume, in two threads of its own: one inflates, one writes, and who waits hashes. The
 * promise settles only when both have ended: after an abort nothing of this layer touches the volume
 * any more, but it is left half filled, and must be thrown away.
 *
 * Errors: `layer_corrupt`, `layer_hostile`, `layer_unsupported`, `limit_exceeded`, `size_mismatch`,
 * `digest_mismatch` (all unrecoverable); `no_space`, `system_call` (by errno). On abort it throws
 * the signal's reason.
 */
export async function unpackLayer(options: UnpackOptions): Promise<Unpacked> {
  const { blobPath, expected, target, limits, signal } = options;
  signal.throwIfAborted();
  const ring = takeRing();
  const inflateJob: InflateJob = {
    blobPath,
    rawSize: expected.rawSize ?? null,
    diffId: expected.diffId ?? null,
    limits,
    ring,
  };
  const applyJob: ApplyJob = { target, limits, ring };
  const onAbort = () => stopRing(ring);
  signal.addEventListener('abort', onAbort, { once: true });
  const timer = setInterval(() => tell(options, ring), progressMs);
  try {
    // Both must have ended, whatever became of them, before anybody may touch the volume again.
    const [inflating, applying] = await Promise.allSettled([
      stopping<InflateJob, InflateAnswer>('./inflate-thread', inflateJob, ring),
      stopping<ApplyJob, ApplyAnswer>('./apply-thread', applyJob, ring),
    ]);
    signal.throwIfAborted();
    const inflated = settled(inflating);
    const applied = settled(applying);
    const error = firstError(inflated, applied);
    if (error !== null) throw fromErrorRecord(error);
    if (!inflated.ok || !applied.ok) throw new TypeError('a thread was stopped without an abort');
    if (options.sync !== false && target.form !== 'image') syncTree(target.rootfs);
    tell(options, ring);
    giveBack(ring);
    return { ...summary(applied), ...totals(inflated), entries: applied.entries, bytes: applied.bytes };
  } finally {
    clearInterval(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

function settled<T>(result: PromiseSettledResult<T>): T {
  if (result.status === 'rejected') throw result.reason;
  return result.value;
}

/**
 * Which of two errors to throw. The one who fails first stops the other, and damage of the stored
 * bytes explains what the reader of the archive stumbled over.
 */
function firstError(inflated: InflateAnswer, applied: ApplyAnswer): ErrorRecord | null {
  if (!inflated.ok && inflated.error !== null) return inflated.error;
  return applied.ok ? null : applied.error;
}

const totals = ({ inflated }: Extract<InflateAnswer, { ok: true }>) => ({
  compression: inflated.compression,
  rawBytes: inflated.rawBytes,
});

function summary({ warnings }: Extract<ApplyAnswer, { ok: true }>) {
  const count = (code: WarningCode) => warnings.find((warning) => warning.code === code)?.count ?? 0;
  return {
    warnings,
    skipped: {
      owners: count('owner_unprivileged'),
      devices: count('device_unprivileged'),
      setuid: count('setuid_unprivileged'),
      xattrs: count('xattr_unprivileged'),
    },
  };
}

function tell({ onProgress, expected }: UnpackOptions, ring: SharedRing): void {
  const { entries, rawBytes } = readProgress(ring);
  onProgress?.({
    done: rawBytes,
    total: expected.rawSize ?? null,
    unit: 'unpacked',
    note: `${entries} entries`,
  });
}

/** A job in a thread, to its end. An answer other than `ok`, or a breakdown, stops the other thread of the ring as well. */
async function stopping<Job, Answer extends { ok: boolean }>(
  name: string,
  job: Job,
  ring: SharedRing,
): Promise<Answer> {
  let isFine = false;
  try {
    const answer = await inThread<Job, Answer>(besideModule(import.meta.url, name), job);
    isFine = answer.ok;
    return answer;
  } finally {
    if (!isFine) stopRing(ring);
  }
}

/** syncfs(2) of the file system that holds `path`. Throws a SysError when something could not be written. */
export function syncTree(path: string): void {
  const fd = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  try {
    syncfs(fd);
  } finally {
    close(fd);
  }
}
