import type { Database } from 'better-sqlite3';
import { unrecoverable } from '#core/errors';
import type { Engine } from '#engine/api';
import { openEngine } from '#engine/engine';
import type { OwnerLocks } from '#engine/types';

/** An engine that only looks owns nothing. */
export const onlooker: OwnerLocks = {
  hold() {
    throw unrecoverable('unclassified', 'this command only looks and moves no run');
  },
  isHeld: () => true,
};

/** The runs of a database, to look at: compose.ts without drivers, actors and machines, which take long to load. */
export const engineToLook = (db: Database): Engine => openEngine({ db, machines: [], owners: onlooker });
