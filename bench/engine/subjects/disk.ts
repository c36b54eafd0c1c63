import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as breath } from 'node:timers/promises';
import SqliteDatabase from 'better-sqlite3';
import { stepsPerRun } from '../chart.ts';
import type { OpenSubject } from '../subject.ts';

/** One small row a commit, by better-sqlite3 as flyd sets it: WAL, synchronous=FULL. A step is a commit. */
export const openCommits: OpenSubject = async ({ folder, clock }) => {
  const db = new SqliteDatabase(join(folder, 'commits.db'));
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.exec('CREATE TABLE rows (id INTEGER PRIMARY KEY, value INTEGER NOT NULL) STRICT');
  // The same content once more would dirty no page, and cost no fsync.
  const put = db.prepare('INSERT OR REPLACE INTO rows (id, value) VALUES (?, ?)');
  let value = 0;
  return {
    async run(name) {
      for (let step = 0; step < stepsPerRun; step++) {
        clock.begin(name);
        put.run(step, ++value);
      }
      clock.end(name);
      await breath();
    },
    async close() {
      db.close();
      return null;
    },
  };
};

/** 4 KiB appended to a file, and fdatasync. A step is such a write. */
export const openAppends: OpenSubject = async ({ folder, clock }) => {
  const fd = openSync(join(folder, 'appends'), 'a', 0o600);
  const page = Buffer.alloc(4096, 1);
  return {
    async run(name) {
      for (let step = 0; step < stepsPerRun; step++) {
        clock.begin(name);
        writeSync(fd, page);
        fdatasyncSync(fd);
      }
      clock.end(name);
      await breath();
    },
    async close() {
      closeSync(fd);
      return null;
    },
  };
};
