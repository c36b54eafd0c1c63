import type { MigrationSet } from '../migrate.ts';
import { engineMigrations } from './migrations.ts';

export { type Commits, createCommits } from './commit.ts';
export type { Compaction } from './compaction.ts';
export { eraseWhatIsDeleted } from './erasing.ts';
export { createReads, type Reads, type RunQuery, type TransitionRow } from './reads.ts';
export type * from './records.ts';
export type { Firing, Scheduling } from './scheduling.ts';

/** The engine's tables: all that an application of the engine by itself needs. */
export const engineSet: MigrationSet = { name: 'engine', migrations: engineMigrations };
