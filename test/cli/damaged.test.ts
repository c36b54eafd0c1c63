import assert from 'node:assert/strict';
import { closeSync, openSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import SqliteDatabase from 'better-sqlite3';
import { openScene, type Scene } from './scene.ts';

/** From this size on a database is not read from end to end whenever it is opened (db/open.ts). */
const readAtOpenMax = 8 * 2 ** 20;

interface Doctor {
  ok: boolean;
  checks: { check: string; verdict: string; says: string; fix: string | null }[];
}

/** Makes the database large, by blobs that are being removed: nothing has to be there for them. */
function enlarge(path: string): void {
  const db = new SqliteDatabase(path);
  const row = db.prepare(`
    INSERT INTO blobs (digest, size, diff_id, raw_size, media_type, state, created_at, used_at)
    VALUES ('sha256:' || format('%064x', ?), 1, ?, 1, 'x', 'removing', 1, 1)`);
  db.transaction(() => {
    for (let n = 0; n < 20_000; n++) row.run(n, 'x'.repeat(600));
  })();
  db.pragma('wal_checkpoint(TRUNCATE)');
  db.close();
  assert.ok(statSync(path).size > readAtOpenMax);
}

const database = async (scene: Scene, code: number): Promise<Doctor['checks']> =>
  (await scene.json<Doctor>(['doctor'], code)).checks.filter(({ check }) => check === 'database');

test('doctor reads a large database from end to end, and says what is damaged', async () => {
  const scene = await openScene();
  try {
    await scene.json(['gc']);
    const path = join(scene.stateDir, 'flyd.db');
    enlarge(path);
    const [sound, ...more] = await database(scene, 0);
    assert.match(`${sound?.verdict} ${sound?.says}`, /^ok intact, SQLite /);
    assert.deepEqual(more, []);
    const fd = openSync(path, 'r+');
    // In the middle of the many rows, where nothing that opens it looks.
    writeSync(fd, Buffer.alloc(4096, 0xff), 0, 4096, 4096 * Math.floor(statSync(path).size / 4096 / 2));
    closeSync(fd);
    const [damaged] = await database(scene, 1);
    assert.match(`${damaged?.verdict} ${damaged?.says}`, /^broken damaged: /);
    assert.match(damaged?.fix ?? '', /flyd db restore/);
  } finally {
    await scene.close();
  }
});
