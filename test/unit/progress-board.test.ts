import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createProgressBoard } from '#infra/progress-board';

test('what a killed owner noted goes when the next one opens its board', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'flyd-progress-'));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const name of ['dead.json', 'dead.json.tmp', 'living.json']) writeFileSync(join(folder, name), '[]');
  const board = createProgressBoard({
    folder,
    token: 'mine',
    isAlive: (token) => token !== 'dead',
    now: () => 0,
  });
  assert.deepEqual(readdirSync(folder), ['living.json']);
  board.close();
});
