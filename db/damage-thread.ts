import { type ErrorRecord, toErrorRecord } from '#core/errors';
import { findDamage, openDatabase } from './open.ts';

/** A database to be read from end to end, in a thread: a hundred megabytes take a tenth of a second. */
export interface DamageJob {
  path: string;
  /** How long to wait for a lock, in ms. */
  waitMs: number;
}

/** `damage`: what SQLite says is damaged, null when nothing is. */
export type DamageAnswer = { damage: string | null } | { failed: ErrorRecord };

export function run({ path, waitMs }: DamageJob): DamageAnswer {
  try {
    const db = openDatabase(path, [], { readonly: true, waitMs });
    try {
      return { damage: findDamage(db) };
    } finally {
      db.close();
    }
  } catch (error) {
    return { failed: toErrorRecord(error) };
  }
}
