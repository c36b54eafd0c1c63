import type { NewRun, StartedRow } from './records.ts';
import type { Statements } from './statements.ts';

/** Runs that begin in the middle: one that had failed, or a copy of one. Called inside a transaction. */
export interface Rewind {
  /** A failed run is live again, with the wish to be set back in its inbox. */
  reopen(run: number, wish: ReopenWish): Reopened;
  /** A new run that is to begin from `origin`, which is what a run looked like at a commit. */
  fork(run: NewRun, wish: ForkWish): StartedRow | { conflict: string };
}

export interface ReopenWish {
  event: string;
  /** Commits that it had when somebody looked. */
  seen: number;
  owner: string;
  at: number;
}

export interface ForkWish {
  /** The run that it is a copy of. */
  source: number;
  origin: string;
  /** The run and its commit, as JSON. */
  from: string;
  owner: string;
  at: number;
}

/** `moved`: it is not as it was when somebody looked. `conflict`: the live run that has its key now. */
export type Reopened = 'reopened' | 'moved' | { conflict: string };

export function createRewind(
  sql: Statements,
  parts: {
    refreshStatus(run: number): void;
    insertRow(run: NewRun, options: { owner: string; standalone: boolean; at: number }): StartedRow;
  },
): Rewind {
  const liveByKey = (machine: string, key: string | null): { uid: string } | undefined =>
    key === null ? undefined : (sql.keyHolder.get(machine, key) as { uid: string } | undefined);

  return {
    reopen(run, { event, seen, owner, at }) {
      const ended = sql.failed.get(run, seen) as { machine: string; key: string | null } | undefined;
      if (ended === undefined) return 'moved';
      const live = liveByKey(ended.machine, ended.key);
      if (live !== undefined) return { conflict: live.uid };
      sql.reopen.run({ run, owner, at });
      // What it had not taken when it ended, it never will: first of all it is set back.
      sql.ignoreInbox.run({ run, at });
      sql.sendEvent.run({ run, event, dedupe: null, at });
      parts.refreshStatus(run);
      return 'reopened';
    },
    fork(run, { source, origin, from, owner, at }) {
      const live = liveByKey(run.machine, run.key);
      if (live !== undefined) return { conflict: live.uid };
      const started = parts.insertRow(run, { owner, standalone: true, at });
      sql.copySecrets.run(started.id, source);
      sql.setOrigin.run({ run: started.id, origin, from });
      return started;
    },
  };
}
