import type { MigrationSet } from '../migrate.ts';
import { engineMigrations } from './migrations.ts';

/** The engine's tables: all that an application of the engine by itself needs. */
export const engineSet: MigrationSet = { name: 'engine', migrations: engineMigrations };
