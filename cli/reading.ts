import type { Database } from 'better-sqlite3';
import { FlydError } from '#core/errors';
import { engineSet } from '#db/engine/set';
import { imageSet } from '#db/images/set';
import { openDatabase } from '#db/open';
import { hasStateDir, openStateDir } from '#infra/state-dir';
import { openStateDatabase } from './database.ts';
import type { Session } from './session.ts';

/**
 * Opens the database to look something up: nothing is loaded but what that needs, and `work` brings what
 * it reads with. Where there is no state directory, none is made: nothing was done. On a full disk it is done
 * again with the reserve: `work` writes once at most, and says nothing before.
 */
export async function openReading(session: Session, work: (db: Database) => number): Promise<number> {
  const { stateDir } = session.settings;
  const state = (await hasStateDir(stateDir)) ? await openStateDir(stateDir) : null;
  try {
    if (state === null) return using(openDatabase(':memory:', [engineSet, imageSet]), work);
    const read = () => using(openStateDatabase(state.paths, session.settings, { readsMuch: true }), work);
    try {
      return read();
    } catch (error) {
      if (!(error instanceof FlydError) || error.code !== 'no_space') throw error;
    }
    const { openReserve } = await import('#infra/reserve');
    const reserve = openReserve(state.paths.reserve);
    try {
      reserve.giveUp();
      return read();
    } finally {
      reserve.close();
    }
  } finally {
    state?.close();
  }
}

function using<T>(db: Database, work: (db: Database) => T): T {
  try {
    return work(db);
  } finally {
    db.close();
  }
}
