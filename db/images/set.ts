import type { MigrationSet } from '../migrate.ts';
import { imageMigrations } from './migrations.ts';

/** The tables of images. They live next to the engine's: what may be swept depends on the runs there. */
export const imageSet: MigrationSet = { name: 'images', migrations: imageMigrations };
