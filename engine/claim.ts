import type { Reads } from '#db/engine/index';
import type { HostOptions } from './host-options.ts';
import type { LiveRun } from './run.ts';
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
 * Whether a free place of the run's queue must go to the run of another first. One whose owner is dead,
 * or stuck, is passed over: whoever carries it on waits in line again.
 */
export function yieldsToOthers(
  run: LiveRun,
  {
    token,
    reads,
    owners,
    stuckAfterMs,
    queues,
    system,
  }: ClaimOptions & Pick<HostOptions, 'queues' | 'system'>,
): boolean {
  const { id, queue, priority } = run;
  if (queue === null) return false;
  const now = system.now();
  const fifo = queues.get(queue)?.ordering === 'fifo';
  return reads
    .ahead({ run: id, queue, owner: token, priority: fifo ? null : priority, now })
    .some((owner) => owners.isHeld(owner) && (owners.silentMs?.(owner) ?? 0) <= stuckAfterMs);
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
  const wanted: ClaimableRun[] = [];
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
    wanted.push({ id, owner });
  }
  return reads.claim(wanted, token);
}

/** Runs of others that this process should take over when their owners die: it waits for them. */
export function wantedOfOthers(
  { reads, token }: Pick<ClaimOptions, 'reads' | 'token'>,
  waits: { watched: Iterable<number>; holds: boolean; queues: readonly string[] },
): ClaimableRun[] {
  const wanted: ClaimableRun[] = reads.foreignChildren(token);
  for (const id of waits.watched) {
    const row = reads.run(id);
    if (row !== undefined && row.endedAt === null) wanted.push({ id, owner: row.owner });
  }
  if (waits.holds) wanted.push(...reads.foreignHolds(token));
  // A place that a dead owner's run holds is free when that run has been carried on.
  for (const queue of waits.queues) wanted.push(...reads.placeHolders(queue, token));
  return wanted;
}
