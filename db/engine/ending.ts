import type { Holds } from './holds.ts';
import type { Statements } from './statements.ts';

/** What the end of a run, and of a wish for a child, means for the others. Called inside a transaction. */
export interface Ending {
  end(run: number, at: number): void;
  release(parent: number, childId: string, reason: string): void;
}

export function createEnding(sql: Statements, holds: Holds): Ending {
  /** A terminal run owes nothing any more, lets go of its children, and tells its parents. */
  function end(run: number, at: number): void {
    sql.dropEffects.run(run);
    sql.dropTimers.run(run);
    sql.dropResults.run(run);
    for (const { childId } of sql.liveLinks.all(run) as { childId: string }[])
      release(run, childId, 'parent ended');
    const { uid, status, output, error, awaited } = sql.result.get(run) as {
      uid: string;
      status: string;
      output: string | null;
      error: string | null;
      awaited: number;
    };
    if (awaited === 1) holds.lift(run);
    for (const link of sql.parentLinks.all(run) as { parent: number; childId: string; epoch: number }[]) {
      const actorId = link.childId;
      const event =
        status === 'done'
          ? {
              type: `xstate.done.actor.${actorId}`,
              output: output === null ? null : JSON.parse(output),
              actorId,
            }
          : { type: `xstate.error.actor.${actorId}`, error: errorOfEnd(uid, status, error), actorId };
      sql.insertEvent.run({
        run: link.parent,
        direction: 'in',
        event: JSON.stringify(event),
        child: link.childId,
        epoch: link.epoch,
        dedupe: null,
        at,
      });
    }
  }

  /** Unlinks a child that its parent no longer wants; one that nobody else wants is cancelled. */
  function release(parent: number, childId: string, reason: string): void {
    const link = sql.linkedChild.get(parent, childId) as { child: number } | undefined;
    sql.dropLink.run(parent, childId);
    if (link === undefined) return;
    const { wanted } = sql.stillWanted.get(link.child, link.child) as { wanted: number };
    if (wanted === 0) sql.requestCancel.run(JSON.stringify({ reason }), link.child);
  }

  return { end, release };
}

function errorOfEnd(uid: string, status: string, error: string | null): unknown {
  if (error !== null) return JSON.parse(error);
  return status === 'cancelled'
    ? { kind: 'abort', code: 'cancelled', message: 'the child run was cancelled', subject: uid }
    : { kind: 'unrecoverable', code: 'child_failed', message: 'the child run failed', subject: uid };
}
