import { statSync } from 'node:fs';
import { unrecoverable } from '#core/errors';
import { engineSet } from '#db/engine/set';
import { imageSet } from '#db/images/set';
import type { MigrationSet } from '#db/migrate';
import { openDatabase } from '#db/open';
import type { Settings } from '#infra/config';
import { readGeneration } from '#infra/generation';
import type { StatePaths } from '#infra/state-dir';

export type Database = ReturnType<typeof openDatabase>;

export interface OpenStateOptions {
  readonly?: boolean;
  /** See `OpenOptions` of db/open.ts. */
  readsMuch?: boolean;
  /** See `OpenOptions` of db/open.ts. */
  makeRoom?: () => boolean;
  /** Tables besides those of engine and images. */
  more?: readonly MigrationSet[];
}

/**
 * Opens the database of a state directory, or makes its first one. Fails as `openDatabase` does, and with
 * `database_missing` where there was one: an empty one in its place would take all there is for leftovers.
 */
export function openStateDatabase(
  paths: Pick<StatePaths, 'db' | 'generation'>,
  { timeouts }: Pick<Settings, 'timeouts'>,
  { readonly = false, readsMuch = false, more = [], ...options }: OpenStateOptions = {},
): Database {
  refuseLost(paths);
  return openDatabase(paths.db, [engineSet, imageSet, ...more], {
    readonly,
    readsMuch,
    ...options,
    waitMs: timeouts.databaseMs,
  });
}

function refuseLost({ db, generation }: Pick<StatePaths, 'db' | 'generation'>): void {
  const found = statSync(db, { throwIfNoEntry: false });
  if (found !== undefined && (!found.isFile() || found.size > 0)) return;
  if (readGeneration(generation) === null) return;
  const what = found === undefined ? 'is gone' : 'is empty';
  throw unrecoverable('database_missing', `the database ${what}: without it nobody knows what is there`, {
    op: 'database.open',
    subject: db,
    hint: 'put it back, or a backup: flyd db restore FILE; without one: flyd db new, which deletes nothing of what is there',
  });
}
