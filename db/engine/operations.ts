import type { Ending } from './ending.ts';
import type { Operation, RunWrite } from './records.ts';
import type { Starting } from './starting.ts';
import type { Statements } from './statements.ts';

export interface OperationParts {
  sql: Statements;
  ending: Ending;
  starting: Starting;
}

/** Writes one operation of a run's commit, inside its transaction. */
export type Apply = (run: number, entry: RunWrite, operation: Operation, born: number[]) => void;

export function createApply({ sql, ending, starting }: OperationParts): Apply {
  return function apply(run, { owner, at }, operation, born) {
    switch (operation.type) {
      case 'effect.put': {
        const { again, child, epoch, src, input, dueAt } = operation;
        if (again === true && sql.renewEffect.run(epoch, input, dueAt, run, child, src).changes > 0) return;
        sql.putEffect.run(run, child, epoch, src, input, dueAt);
        return;
      }
      case 'effect.fail':
        sql.failEffect.run({ run, ...operation });
        return;
      case 'effect.save':
        sql.saveEffect.run({ run, ...operation });
        return;
      case 'effect.drop':
        sql.dropEffect.run(run, operation.child);
        return;
      case 'timer.put':
        sql.putTimer.run({ run, ...operation });
        return;
      case 'timer.drop':
        sql.dropTimer.run(run, operation.timer);
        return;
      case 'child.start': {
        const { childId, epoch, onClose } = operation;
        const before = operation.instead === true ? sql.linkedChild.get(run, childId) : undefined;
        const { id: child, joined } = starting.insert(operation.run, { owner, standalone: false, at });
        sql.putLink.run({ parent: run, childId, epoch, child, joined: joined ? 1 : 0, onClose });
        // A new request is a new try: a child that waits for a person is woken by joining it.
        if (joined) sql.wakeParked.run({ run: child, at });
        else born.push(child);
        const old = (before as { child: number } | undefined)?.child;
        if (old !== undefined && old !== child) ending.abandon(old, 'its parent was set back');
        return;
      }
      case 'child.release':
        ending.release(run, operation);
        return;
      case 'run.continue': {
        const next = starting.insert(operation.run, { owner, standalone: false, at });
        sql.continueAs.run(next.id, run);
        sql.inherit.run({ run, next: next.id });
        if (next.joined) sql.wakeParked.run({ run: next.id, at });
        else {
          sql.inheritEnd.run({ run, next: next.id });
          born.push(next.id);
        }
        return;
      }
      case 'child.settle':
        sql.settleLink.run(run, operation.childId);
        return;
      case 'event.applied':
        sql.forgetEvent.run(operation.id);
        sql.markApplied.run(at, operation.id);
        return;
      case 'event.keep':
        sql.insertEvent.run({ run, direction: 'in', dedupe: null, at, ...operation });
        return;
      case 'event.toChild': {
        const link = sql.linkedChild.get(run, operation.childId) as { child: number } | undefined;
        if (link === undefined) return;
        for (const { ref, value } of operation.secrets ?? []) sql.putSecret.run(link.child, ref, value);
        sql.insertEvent.run({
          run: link.child,
          direction: 'in',
          event: operation.event,
          child: null,
          epoch: null,
          dedupe: null,
          at,
        });
        return;
      }
      case 'secret.put':
        sql.putSecret.run(run, operation.ref, operation.value);
        return;
      case 'cancel.forget':
        sql.forgetCancel.run(run);
        return;
      case 'fork.begun':
        sql.forkBegun.run(run);
        return;
      case 'event.out':
        sql.insertEvent.run({
          run,
          direction: 'out',
          event: operation.event,
          child: null,
          epoch: null,
          dedupe: null,
          at,
        });
    }
  };
}
