import { unrecoverable } from '#core/errors';
import type { Exec } from '../exec.ts';
import { isClaimed, readStart } from './block-device.ts';
import { parseSuperblock, superblockBytes } from './superblock.ts';

/** Reads `wipefs --no-act --json`: the types of all signatures found. Older versions print nothing for none. */
export function parseWipefs(text: string): string[] {
  if (text.trim() === '') return [];
  const listed: unknown = (JSON.parse(text) as { signatures?: unknown }).signatures;
  if (!Array.isArray(listed)) return [];
  return listed.map((row: Record<string, unknown>) => String(row.type ?? 'unknown'));
}

/**
 * Throws `pool_refused` unless nothing on the device looks like somebody's data: no signature that
 * wipefs(8) knows, no thin pool's superblock (which it does not know), and nobody uses it.
 */
export async function assertBlank(path: string, exec: Exec, op: string): Promise<void> {
  const found = await signatureOn(path, exec, op);
  if (found === null) return;
  throw unrecoverable('pool_refused', `${path} is not blank: it has ${found}`, {
    op,
    subject: path,
    hint: `if nobody needs what is on it: wipefs --all ${path}, and zero its first 4 KiB`,
  });
}

async function signatureOn(path: string, exec: Exec, op: string): Promise<string | null> {
  if (await isClaimed(path)) return 'a user (it is mounted, or part of another device)';
  const { stdout } = await exec('wipefs', ['--no-act', '--json', path], { op, subject: path });
  const signatures = parseWipefs(stdout);
  if (signatures.length > 0) return `a signature of ${signatures.join(', ')}`;
  const superblock = parseSuperblock(await readStart(path, superblockBytes));
  return superblock === null ? null : 'the superblock of a thin pool';
}
