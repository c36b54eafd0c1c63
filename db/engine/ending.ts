import type { Holds } from './holds.ts';
import type { Statements } from './statements.ts';
import { createTellParents, type RefreshStatus } from './statuses.ts';

/** What the end of a run, and of a wish for a child, means for the others. Called inside a transaction. */
export interface Ending {
  /** Says whether that concerns other runs. */
  end(run: number, at: number): boolean;
  /** `closing`: because the parent ends, and not because it stopped the child. */
  release(parent: number, wish: { childId: string; reason: string; closing: boolean }): void;
  /** Cancels a run that nobody wants any more. */
  abandon(run: number, reason: string): void;
}

interface Result {
  uid: string;
  status: string;
  output: string | null;
  error: string | null;
  awaited: number;
  continuedAs: number | null;
}

/** What there is of a run that ends; each 0 or 1. */
interface Legacy {
  effects: number;
  timers: number;
  events: number;
  secrets: number;
  children: number;
  parents: number;
  /** Others wait for its end, or one goes on for it. */
  heirs: number;
}

export function createEnding(sql: Statements, holds: Holds, refreshStatus: RefreshStatus): Ending {
  const refreshAbove = createTellParents(sql);

  /** A terminal run owes nothing any more, lets go of its children, and tells its parents. */
  function end(run: number, at: number): boolean {
    const has = sql.legacy.get(run) as Legacy;
    if (has.effects) sql.dropEffects.run(run);
    if (has.timers) sql.dropTimers.run(run);
    if (has.events) sql.dropResults.run(run);
    if (has.secrets) sql.dropSecrets.run(run);
    if (has.children)
      for (const { childId } of sql.liveLinks.all(run) as { childId: string }[])
        release(run, { childId, reason: 'parent ended', closing: true });
    if (!has.parents && !has.heirs) return has.children === 1;
    const result = sql.result.get(run) as Result;
    if (result.continuedAs !== null) moveTo(result.continuedAs, run);
    if (result.awaited === 1) holds.lift(run);
    tellParents(run, result, at);
    refreshAbove(run);
    return true;
  }

  /** Those who wanted this run's result want that of the run that goes on for it. */
  function moveTo(next: number, run: number): void {
    sql.moveLinks.run({ next, run });
    if (sql.moveWaiting.run({ next, run }).changes > 0) sql.markAwaited.run(next);
    refreshStatus(next);
  }

  function tellParents(run: number, { uid, status, output, error }: Result, at: number): void {
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
  function release(parent: number, { childId, reason, closing }: Parameters<Ending['release']>[1]): void {
    const link = sql.linkedChild.get(parent, childId) as { child: number; onClose: string } | undefined;
    sql.dropLink.run(parent, childId);
    if (link === undefined) return;
    if (closing && link.onClose === 'abandon') {
      sql.makeStandalone.run(link.child);
      return;
    }
    abandon(link.child, reason);
  }

  function abandon(run: number, reason: string): void {
    const { wanted } = sql.stillWanted.get(run, run) as { wanted: number };
    if (wanted === 0) sql.requestCancel.run(JSON.stringify({ reason }), run);
  }

  return { end, release, abandon };
}

function errorOfEnd(uid: string, status: string, error: string | null): unknown {
  if (error !== null) return JSON.parse(error);
  return status === 'cancelled'
    ? { kind: 'abort', code: 'cancelled', message: 'the child run was cancelled', subject: uid }
    : { kind: 'unrecoverable', code: 'child_failed', message: 'the child run failed', subject: uid };
}
