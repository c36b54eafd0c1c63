import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import SqliteDatabase from 'better-sqlite3';
import type { OwnerLocks } from './types.ts';

/**
 * Owner locks for an application that has nothing but SQLite: an exclusive transaction on a file of
 * its own, which the kernel drops when the process ends, however it ends.
 */
export function sqliteOwnerLocks(folder: string): OwnerLocks {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const fileOf = (token: string): string => join(folder, token);
  return {
    hold(token) {
      const db = new SqliteDatabase(fileOf(token), { timeout: 0 });
      db.exec('BEGIN EXCLUSIVE');
      return {
        release() {
          db.close();
          rmSync(fileOf(token), { force: true });
        },
      };
    },
    isHeld(token) {
      if (!existsSync(fileOf(token))) return false;
      const db = new SqliteDatabase(fileOf(token), { timeout: 0 });
      try {
        db.exec('BEGIN EXCLUSIVE; ROLLBACK');
        return false;
      } catch {
        return true;
      } finally {
        db.close();
      }
    },
  };
}
