import type { Database } from 'better-sqlite3';
import { write } from '../open.ts';

/** Writes inside the transaction that is open already, or in one of its own. */
export const joinWrite = <T>(db: Database, work: () => T): T => (db.inTransaction ? work() : write(db, work));
