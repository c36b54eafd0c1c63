import type { Reads } from '#db/engine/index';
import type { OwnerLocks } from './types.ts';

export interface ClaimableRun {
  id: number;
  owner: string | null;
}

export interface ClaimOptions {
  /** Who claims. */
  token: string;
  reads: Reads;
  owners: OwnerLocks;
  stuckAfterMs: number;
}

/**
 * Takes the runs among these whose owner is dead, or that have none, and gives their ids. A living
 * owner that has shown no sign of life for too long is killed: its runs can be taken the next time.
 */
export function claimFromDead(
  runs: readonly ClaimableRun[],
  { token, reads, owners, stuckAfterMs }: ClaimOptions,
): number[] {
  const alive = new Map<string, boolean>();
  const taken: number[] = [];
  for (const { id, owner } of runs) {
    if (owner === token) continue;
    if (owner !== null) {
      if (!alive.has(owner)) alive.set(owner, owners.isHeld(owner));
      if (alive.get(owner) === true) {
        const silentMs = owners.silentMs?.(owner) ?? null;
        if (silentMs !== null && silentMs > stuckAfterMs)
          owners.kill?.(owner, `it showed no sign of life for ${Math.round(silentMs / 1000)} s`);
        continue;
      }
    }
    if (reads.claim(id, owner, token)) taken.push(id);
  }
  return taken;
}
