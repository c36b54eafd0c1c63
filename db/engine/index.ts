export { type Commits, createCommits } from './commit.ts';
export type { Compaction } from './compaction.ts';
export { eraseWhatIsDeleted } from './erasing.ts';
export { createReads, type Reads, type RunQuery, type TransitionRow } from './reads.ts';
export type * from './records.ts';
export type { Firing, Scheduling } from './scheduling.ts';
export { engineSet } from './set.ts';
