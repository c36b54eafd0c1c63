import type { AfterWish } from './records.ts';
import type { Statements } from './statements.ts';
import type { RefreshStatus } from './statuses.ts';

/** What else keeps runs from beginning, besides places and time: other runs. Called inside a transaction. */
export interface Holds {
  /** Lets the run wait for the end of another, which exists. One that has ended is judged at once. */
  wait(run: number, after: AfterWish): void;
  /** The run has ended: those that waited for that go on, or never will. */
  lift(run: number): void;
  /** Of the runs that wait for a place of this queue, cancels all but the newest, where the queue wants it so. */
  supersede(queue: string): void;
}

interface Ended {
  id: number;
  uid: string;
  status: string;
  error: string | null;
  endedAt: number | null;
  continuedAs: number | null;
}

export function createHolds(sql: Statements, refreshStatus: RefreshStatus): Holds {
  function judge(
    run: number,
    dependency: Pick<Ended, 'uid' | 'status' | 'error'>,
    wish: Omit<AfterWish, 'run'>,
  ) {
    const met = wish.when === 'ended' || wish.when === dependency.status;
    sql.waitNoMore.run(run);
    if (!met) {
      const message = `run ${dependency.uid}, which this one was to follow, ended ${dependency.status}`;
      if (wish.otherwise === 'cancel')
        sql.requestCancel.run(JSON.stringify({ reason: message, code: 'dependency_unmet' }), run);
      else sql.parkRow.run(JSON.stringify(unmet(message, dependency)), run);
    }
    refreshStatus(run);
  }

  /** The run that goes on for this one, if it has handed its work on. */
  function lastOf(run: Ended): Ended {
    const next = run.continuedAs === null ? undefined : (sql.byRow.get(run.continuedAs) as Ended | undefined);
    return next === undefined ? run : lastOf(next);
  }

  return {
    wait(run, { run: uid, when, otherwise }) {
      const dependency = lastOf(sql.byUid.get(uid) as Ended);
      sql.waitAfter.run({ run, after: dependency.id, when, otherwise });
      if (dependency.endedAt === null) sql.markAwaited.run(dependency.id);
      else judge(run, dependency, { when, otherwise });
      refreshStatus(run);
    },
    lift(run) {
      const ended = sql.result.get(run) as Pick<Ended, 'uid' | 'status' | 'error'>;
      for (const { id, ...wish } of sql.waitingAfter.all(run) as (Omit<AfterWish, 'run'> & { id: number })[])
        judge(id, ended, wish);
      for (const { id } of sql.successors.all(run) as { id: number }[]) {
        sql.succeed.run(id);
        refreshStatus(id);
      }
    },
    supersede(queue) {
      const { places, keepNewest } = sql.queueOf.get(queue) as { places: number; keepNewest: number | null };
      if (keepNewest === null) return;
      const { placed } = sql.placed.get(queue) as { placed: number };
      const cancel = { reason: `queue '${queue}' keeps only the newest ${keepNewest}`, code: 'superseded' };
      sql.supersede.run({
        queue,
        keep: keepNewest + Math.max(0, places - placed),
        cancel: JSON.stringify(cancel),
      });
    },
  };
}

const unmet = (message: string, { uid, error }: Pick<Ended, 'uid' | 'error'>) => ({
  kind: 'unrecoverable',
  code: 'dependency_unmet',
  message,
  subject: uid,
  hint: 'retry the run to let it begin all the same, or cancel it',
  ...(error === null ? {} : { cause: JSON.parse(error) as unknown }),
});
