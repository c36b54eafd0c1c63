import { readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { unrecoverable } from '#core/errors';
import { type Exec, stderrOf } from '../exec.ts';
import { mountAt, readMounts } from '../mountinfo.ts';
import type { FileSystem } from './thin-record.ts';

const MiB = 1024 * 1024;
const xfsMin = 300 * MiB;
const timeoutMs = 5 * 60_000;

export interface MakeOptions {
  fs: FileSystem;
  /** The block device, fresh from the pool. */
  path: string;
  bytes: number;
  /** Block size of the pool, for the allocator's alignment. Bytes. */
  blockBytes: number;
  /** The pool fills new blocks with zeros: what was never written reads as zeros, for ever. */
  zeroed: boolean;
}

/**
 * Makes a file system that writes nothing later by itself (such writes would be copied into every
 * snapshot) and as little as it can now. Fails with `command_failed`, `command_missing`,
 * `driver_unsupported` (too small for xfs).
 */
export async function makeFileSystem(options: MakeOptions, exec: Exec, op: string): Promise<void> {
  const { fs, path, bytes } = options;
  const run = { op, subject: path, timeoutMs };
  if (fs === 'xfs') {
    if (bytes < xfsMin)
      throw unrecoverable('driver_unsupported', `xfs needs 300 MiB, not ${bytes} bytes`, {
        op,
        subject: path,
      });
    await exec('mkfs.xfs', ['-f', '-q', '-K', path], run);
    return;
  }
  const journalMiB = Math.max(4, Math.min(32, Math.floor(bytes / 256 / MiB)));
  const stripe = options.blockBytes / 4096;
  const extended = `nodiscard,lazy_itable_init=0,lazy_journal_init=0,stride=${stripe},stripe_width=${stripe}`;
  const args = (extensions: string) => [
    '-F',
    '-q',
    '-b',
    '4096',
    '-m',
    '0',
    '-J',
    `size=${journalMiB}`,
    '-E',
    extensions,
    path,
  ];
  if (!options.zeroed) {
    await exec('mkfs.ext4', args(extended), run);
    return;
  }
  try {
    await exec('mkfs.ext4', args(`${extended},assume_storage_prezeroed=1`), run);
  } catch (error) {
    if (!/Bad option/i.test(stderrOf(error))) throw error; // e2fsprogs before 1.47 zeroes its tables itself
    await exec('mkfs.ext4', args(extended), run);
  }
}

/** Options of mount(2) for a file system of flyd's. */
export const mountData = (fs: FileSystem): string =>
  // Snapshots have the UUID of their origin; and after an error nothing more may be written.
  fs === 'xfs' ? 'nouuid' : 'errors=remount-ro';

/** Lets a mounted file system fill its device, which has grown. */
export async function growFileSystem(
  fs: FileSystem,
  path: string,
  mountPoint: string,
  exec: Exec,
  op: string,
): Promise<void> {
  const run = { op, subject: path, timeoutMs };
  if (fs === 'xfs') await exec('xfs_growfs', [mountPoint], run);
  else await exec('resize2fs', [path], run);
}

/**
 * Throws `driver_failed` when the mounted file system has met an error since it was mounted or made:
 * what was unpacked into it may be damaged, even if every write seemed to succeed.
 */
export async function assertNoErrors(
  fs: FileSystem,
  dev: string,
  mountPoint: string,
  op: string,
): Promise<void> {
  const mounted = mountAt(await readMounts(), mountPoint);
  const { errors, readOnly } = await errorsOf(fs, { dev, superOptions: mounted?.superOptions ?? [] });
  if (!readOnly && errors === 0) return;
  throw unrecoverable('driver_failed', `the file system at ${mountPoint} has met errors`, {
    op,
    subject: mountPoint,
    hint: 'the kernel log (dmesg) says which; then flyd doctor',
    facts: { errors, readOnly },
  });
}

/** How many errors a mounted file system has met (ext4 counts them), and whether it takes no writes now. */
export async function errorsOf(
  fs: FileSystem,
  { dev, superOptions }: { dev: string; superOptions: readonly string[] },
): Promise<{ errors: number; readOnly: boolean }> {
  const readOnly = superOptions.some((option) => ['ro', 'shutdown', 'emergency_ro'].includes(option));
  return { errors: fs === 'ext4' ? await ext4Errors(dev) : 0, readOnly };
}

async function ext4Errors(dev: string): Promise<number> {
  const name = basename(await readlink(`/sys/dev/block/${dev}`).catch(() => ''));
  const text = await readFile(`/sys/fs/ext4/${name}/errors_count`, 'utf8').catch(() => '0');
  return Number(text.trim());
}
