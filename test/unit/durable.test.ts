import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { unrecoverable } from '#core/errors';
import {
  fileError,
  leftoverPattern,
  removeLeftovers,
  renameDurably,
  syncDir,
  unlinkDurably,
  writeDurably,
} from '#infra/durable';
import { failsWith, tempFolder } from '../support/s3/served.ts';

test('a file is replaced whole, with its mode, and no temp file stays', async (t) => {
  const dir = tempFolder(t);
  const path = join(dir, 'state.json');
  await writeDurably(path, 'one');
  assert.deepEqual([readFileSync(path, 'utf8'), statSync(path).mode & 0o777], ['one', 0o600]);
  await writeDurably(path, Buffer.from('two'), 0o640);
  assert.deepEqual([readFileSync(path, 'utf8'), statSync(path).mode & 0o777], ['two', 0o640]);
  assert.deepEqual(readdirSync(dir), ['state.json']);
});

test('readers never see a part, and the last of many writers wins whole', async (t) => {
  const path = join(tempFolder(t), 'f');
  const contents = Array.from({ length: 20 }, (_, n) => String.fromCharCode(97 + n).repeat(200_000));
  await writeDurably(path, contents[0] ?? '');
  const writing = Promise.all(contents.map((content) => writeDurably(path, content)));
  let over = false;
  void writing.finally(() => {
    over = true;
  });
  while (!over) {
    assert.ok(contents.includes(readFileSync(path, 'utf8')));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await writing;
  assert.deepEqual(readdirSync(join(path, '..')), ['f']);
});

test('a write that fails leaves the old content and nothing else', async (t) => {
  const dir = tempFolder(t);
  mkdirSync(join(dir, 'folder'));
  await assert.rejects(writeDurably(join(dir, 'folder'), 'x'), failsWith('system_call', 'recoverable'));
  await assert.rejects(writeDurably(join(dir, 'none', 'f'), 'x'), failsWith('system_call'));
  assert.deepEqual(readdirSync(dir), ['folder']);
});

test('renaming and removing say what they did', async (t) => {
  const dir = tempFolder(t);
  mkdirSync(join(dir, 'a'));
  mkdirSync(join(dir, 'b'));
  writeFileSync(join(dir, 'a', 'f'), 'x');
  await renameDurably(join(dir, 'a', 'f'), join(dir, 'b', 'g'));
  assert.equal(readFileSync(join(dir, 'b', 'g'), 'utf8'), 'x');
  await assert.rejects(renameDurably(join(dir, 'a', 'f'), join(dir, 'b', 'g')), failsWith('system_call'));
  assert.deepEqual(
    [await unlinkDurably(join(dir, 'b', 'g')), await unlinkDurably(join(dir, 'b', 'g'))],
    [true, false],
  );
  await assert.rejects(syncDir(join(dir, 'none')), failsWith('system_call'));
  chmodSync(dir, 0o700);
});

test('errors of files have a kind: full may heal, refused stays, ours pass', () => {
  const of = (code: string) => fileError(Object.assign(new Error(code), { code }), 'write', '/f');
  const seen = ['ENOSPC', 'EDQUOT', 'EACCES', 'EROFS', 'EIO'].map((code) => [of(code).code, of(code).kind]);
  assert.deepEqual(seen, [
    ['no_space', 'recoverable'],
    ['no_space', 'recoverable'],
    ['permission', 'unrecoverable'],
    ['permission', 'unrecoverable'],
    ['system_call', 'recoverable'],
  ]);
  const ours = unrecoverable('layer_corrupt', 'x');
  assert.equal(fileError(ours, 'write', '/f'), ours);
});

test('leftovers of a kill are told from other files', () => {
  const names = ['.lock.json.flyd-0123456789abcdef.tmp', 'lock.json', '.flyd.tmp', '.x.flyd-0123.tmp'];
  assert.deepEqual(
    names.map((name) => leftoverPattern.test(name)),
    [true, false, false, false],
  );
});

test('what killed writers of a file left is removed, and nothing of others', async (t) => {
  const folder = tempFolder(t);
  const temp = (name: string): string => `.${name}.flyd-0123456789abcdef.tmp`;
  for (const name of [temp('mine'), temp('mine.not'), 'mine', '.mine.tmp'])
    writeFileSync(join(folder, name), '');
  await removeLeftovers(join(folder, 'mine'));
  assert.deepEqual(readdirSync(folder).sort(), [temp('mine.not'), '.mine.tmp', 'mine']);
  await assert.rejects(removeLeftovers(join(folder, 'gone', 'x')), failsWith('system_call'));
});
