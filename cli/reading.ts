import type { Database } from 'better-sqlite3';
import { engineSet } from '#db/engine/set';
import { imageSet } from '#db/images/set';
import { openDatabase } from '#db/open';
import { hasStateDir, openStateDir } from '#infra/state-dir';
import { openStateDatabase } from './database.ts';
import type { Session } from './session.ts';

/**
 * Opens the database to look something up: nothing is loaded but what that needs, and `work` brings what
 * it reads with. Where there is no state directory, none is made: nothing was done.
 */
export async function openReading(session: Session, work: (db: Database) => number): Promise<number> {
  const { stateDir } = session.settings;
  const state = (await hasStateDir(stateDir)) ? await openStateDir(stateDir) : null;
  try {
    const db =
      state === null
        ? openDatabase(':memory:', [engineSet, imageSet])
        : openStateDatabase(state.paths, session.settings, { readsMuch: true });
    try {
      return work(db);
    } finally {
      db.close();
    }
  } finally {
    state?.close();
  }
}
