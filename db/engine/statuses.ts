import type { Statements } from './statements.ts';

/** Derives a live run's status anew, and those of the runs above it. Called inside a transaction. */
export type RefreshStatus = (run: number) => void;

/** A live parent shows the trouble of its children, so that one look tells. */
export function createRefreshStatus(sql: Statements): RefreshStatus {
  const tellParents = createTellParents(sql);
  return function refresh(run) {
    sql.refreshStatus.run(run);
    tellParents(run);
  };
}

/** Derives the statuses of the runs above one whose status may have changed. Called inside a transaction. */
export function createTellParents(sql: Statements): RefreshStatus {
  return function tell(run) {
    for (const { parent } of sql.liveParents.all(run) as { parent: number }[]) {
      const { changes } = sql.refreshStatus.run(parent);
      if (changes > 0) tell(parent);
    }
  };
}
