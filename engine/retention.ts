/** What the engine keeps. Without it, all is kept for ever. */
export interface Retention {
  /** Runs are deleted so long after they have ended. */
  endedForMs?: number;
  /**
   * Of each run's history, about so many of its newest rows are kept: at least these, and as many more as
   * lead back to a row that holds a whole snapshot.
   */
  historyRowsMax?: number;
}

/** What was deleted. */
export interface Compacted {
  runs: number;
  rows: number;
}
