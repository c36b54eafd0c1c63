import type { Ending } from './ending.ts';
import type { Operation, RunWrite, StartedChild } from './records.ts';
import type { Starting } from './starting.ts';
import type { Statements } from './statements.ts';

export interface OperationParts {
  sql: Statements;
  ending: Ending;
  starting: Starting;
}

/** Writes one operation of a run's commit, inside its transaction. */
export type Apply = (run: number, entry: RunWrite, operation: Operation, children: StartedChild[]) => void;

export function createApply({ sql, ending, starting }: OperationParts): Apply {
  return function apply(
    run: number,
    { owner, at }: RunWrite,
    operation: Operation,
    children: StartedChild[],
  ): void {
    switch (operation.type) {
      case 'effect.put':
        sql.putEffect.run({ run, ...operation });
        return;
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
        const { childId, epoch } = operation;
        const started = starting.insert(operation.run, { owner, standalone: false, at });
        sql.putLink.run({ parent: run, childId, epoch, child: started.id, joined: started.joined ? 1 : 0 });
        // A new request is a new try: a child that waits for a person is woken by joining it.
        if (started.joined) sql.wakeParked.run({ run: started.id, at });
        children.push({ childId, epoch, run: started.id, uid: started.uid, joined: started.joined });
        return;
      }
      case 'child.release':
        ending.release(run, operation.childId, operation.reason);
        return;
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
        if (link !== undefined)
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
