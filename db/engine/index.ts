export { type Commits, createCommits } from './commit.ts';
export type { Compaction } from './compaction.ts';
export { eraseWhatIsDeleted } from './erasing.ts';
export { createReads, type Reads, type TransitionRow } from './reads.ts';
export type * from './records.ts';
export type { RunQuery, ShownRunRow } from './run-list.ts';
export type { Firing, Scheduling } from './scheduling.ts';
export { engineSet } from './set.ts';
