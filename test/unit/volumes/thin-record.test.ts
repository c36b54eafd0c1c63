import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { dropThinRecord, type ThinRecord, writeThinRecord } from '#infra/volumes/thin-record';

const id = 'vol-00000000000000aa';
const left = `.${id}.json.flyd-0123456789abcdef.tmp`;
const others = '.vol-00000000000000bb.json.flyd-0123456789abcdef.tmp';

/** A folder where a power cut came between the temp file of a record and its rename, twice. */
function cutFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'flyd-thin-'));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const name of [left, others]) writeFileSync(join(folder, name), '');
  return folder;
}

test('the next writer of a record removes what the one before it left', async (t) => {
  const folder = cutFolder(t);
  const record: ThinRecord = { version: 1, id, device: 1, bytes: 4096, fs: 'ext4', prepared: false };
  await writeThinRecord(folder, record);
  assert.deepEqual(readdirSync(folder).sort(), [others, `${id}.json`]);
});

test('so does whoever drops it, also when there was none', async (t) => {
  const folder = cutFolder(t);
  assert.equal(await dropThinRecord(folder, id), false);
  assert.deepEqual(readdirSync(folder), [others]);
});
