import { unrecoverable } from '#core/errors';
import { engineSet } from '#db/engine/index';
import { createImageStore, type ImageStore, imageSet } from '#db/images/index';
import { openDatabase } from '#db/open';
import type { Engine } from '#engine/api';
import { openEngine } from '#engine/engine';
import type { OwnerLocks } from '#engine/types';
import { hasStateDir, openStateDir } from '#infra/state-dir';
import type { Session } from './session.ts';

/**
 * What can be looked up without moving anything: compose.ts without drivers, actors and machines,
 * which take longer to load than a look takes.
 */
export interface Reading {
  engine: Engine;
  images: ImageStore;
}

/** Opens the database to look something up. Where there is no state directory, none is made: nothing was done. */
export async function openReading(
  { settings }: Session,
  work: (reading: Reading) => number,
): Promise<number> {
  const state = (await hasStateDir(settings.stateDir)) ? await openStateDir(settings.stateDir) : null;
  try {
    const db = openDatabase(state?.paths.db ?? ':memory:', [engineSet, imageSet]);
    try {
      return work({
        engine: openEngine({ db, machines: [], owners: onlooker }),
        images: createImageStore(db),
      });
    } finally {
      db.close();
    }
  } finally {
    state?.close();
  }
}

/** An engine that only looks owns nothing. */
export const onlooker: OwnerLocks = {
  hold() {
    throw unrecoverable('unclassified', 'this command only looks and moves no run');
  },
  isHeld: () => true,
};
