import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, statSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type DiffId, digestOfHex } from '#core/ids';
import { type Measured, openJournal, type PartialObject, parseJournal } from '#infra/blob/journal';
import { failsWith, tempFolder } from '../support/s3/served.ts';

const object: PartialObject = { endpoint: null, bucket: 'b', key: 'k\n"ü', etag: 'e', size: 100 };
const measured: Measured = {
  digest: digestOfHex('1'.repeat(64)),
  diffId: digestOfHex('2'.repeat(64)) as string as DiffId,
  size: 100,
  rawSize: 300,
  mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
};

async function written(path: string): Promise<void> {
  const journal = await openJournal(path);
  await journal.begin(object);
  await journal.synced(10, 15);
  await journal.synced(30, 35);
  await journal.close();
}

test('a journal gives back what was written down, and goes on from there', async (t) => {
  const path = join(tempFolder(t), 'p.journal');
  await written(path);
  const again = await openJournal(path);
  assert.deepEqual(again.state, { object, synced: 30, fetched: 35, whole: null });
  await again.whole(measured, 105);
  await again.close();
  const last = await openJournal(path);
  assert.deepEqual(last.state, { object, synced: 100, fetched: 105, whole: measured });
  await last.begin({ ...object, etag: 'new' });
  assert.deepEqual(last.state, { object: { ...object, etag: 'new' }, synced: 0, fetched: 0, whole: null });
  await last.close();
});

test('whatever a power cut leaves of the last line, everything before it holds', async (t) => {
  const path = join(tempFolder(t), 'p.journal');
  await written(path);
  const whole = readFileSync(path);
  const lastLine = whole.subarray(0, -1).lastIndexOf(0x0a) + 1;
  for (let bytes = lastLine; bytes < whole.length; bytes++)
    assert.equal(parseJournal(whole.subarray(0, bytes)).state.synced, 10, `cut at ${bytes}`);
  for (let flipped = lastLine; flipped < whole.length - 1; flipped++) {
    const damaged = Buffer.from(whole);
    damaged[flipped] = (damaged[flipped] ?? 0) ^ 1;
    assert.equal(parseJournal(damaged).state.synced, 10, `flipped at ${flipped}`);
  }
  const zeros = Buffer.concat([whole.subarray(0, lastLine), Buffer.alloc(whole.length - lastLine)]);
  assert.equal(parseJournal(zeros).state.synced, 10);
});

test('what follows a torn line is written in its place', async (t) => {
  const path = join(tempFolder(t), 'p.journal');
  await written(path);
  truncateSync(path, statSync(path).size - 3);
  const journal = await openJournal(path);
  assert.equal(journal.state.synced, 10);
  await journal.synced(20, 25);
  await journal.close();
  assert.equal(parseJournal(readFileSync(path)).state.synced, 20);
});

test('garbage is an empty journal', async (t) => {
  const path = join(tempFolder(t), 'p.journal');
  for (const content of ['', 'x', '\n', '00000000 {}\n', '{"fact":"synced","synced":50}\n']) {
    writeFileSync(path, content);
    const journal = await openJournal(path);
    assert.deepEqual(journal.state, { object: null, synced: 0, fetched: 0, whole: null });
    await journal.close();
  }
});

test('only one can have it open, and a removed one locks nobody out', async (t) => {
  const path = join(tempFolder(t), 'p.journal');
  const first = await openJournal(path);
  await assert.rejects(openJournal(path), failsWith('partial_busy', 'recoverable'));
  unlinkSync(path);
  const second = await openJournal(path);
  await first.close();
  await assert.rejects(openJournal(path), failsWith('partial_busy', 'recoverable'));
  await second.close();
  appendFileSync(path, '');
  await (await openJournal(path)).close();
});
