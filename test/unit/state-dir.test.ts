import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { FlydError } from '#core/errors';
import { checkPrivate, ensurePrivate, openStateDir } from '#infra/state-dir';
import { flock } from '#infra/sys';

let base = '';
beforeEach(() => {
  base = mkdtempSync(join(realpathSync(tmpdir()), 'flyd-state-'));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const refuses = (code: string, pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof FlydError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, pattern);
  return true;
};

test('a new state directory is whole, and its owner’s alone', async () => {
  const state = await openStateDir(join(base, 'a/b/state'));
  const { root, owners, volumes, pool, log, partial } = state.paths;
  for (const path of [root, owners, volumes, pool, log, partial, join(root, 'blobs/sha256')])
    assert.equal(statSync(path).mode & 0o7777, 0o700, path);
  for (const name of ['format', 'lock']) assert.equal(statSync(join(root, name)).mode & 0o077, 0, name);
  assert.equal(readFileSync(join(root, 'format'), 'utf8'), 'flyd 1\n');
  state.close();
});

test('it can be opened again, and by several at once', async () => {
  const path = join(base, 'state');
  const states = await Promise.all(Array.from({ length: 12 }, () => openStateDir(path)));
  for (const state of states) state.close();
  (await openStateDir(path)).close();
});

test('a first start that was cut short is finished by the next', async () => {
  const path = join(base, 'state');
  mkdirSync(join(path, 'owners'), { recursive: true, mode: 0o700 });
  (await openStateDir(path)).close();
  assert.equal(readFileSync(join(path, 'format'), 'utf8'), 'flyd 1\n');
});

test('a folder with somebody else’s files is left alone', async () => {
  const path = join(base, 'home');
  mkdirSync(path, { mode: 0o700 });
  writeFileSync(join(path, 'letters.txt'), 'dear');
  await assert.rejects(openStateDir(path), refuses('state_dir_refused', /letters\.txt/));
  assert.throws(() => statSync(join(path, 'owners')));
});

test('a newer layout is refused, and nothing of it is touched', async () => {
  const path = join(base, 'state');
  (await openStateDir(path)).close();
  writeFileSync(join(path, 'format'), 'flyd 2\n');
  rmSync(join(path, 'log'), { recursive: true });
  await assert.rejects(openStateDir(path), refuses('state_dir_newer', /2.*1/));
  assert.throws(() => statSync(join(path, 'log')));
});

test('a file `format` of something else is refused', async () => {
  const path = join(base, 'state');
  mkdirSync(path, { mode: 0o700 });
  writeFileSync(join(path, 'format'), 'ext4');
  await assert.rejects(openStateDir(path), refuses('state_dir_refused', /format/));
});

test('others who may enter make it refused, at every start', async () => {
  const path = join(base, 'state');
  (await openStateDir(path)).close();
  chmodSync(path, 0o750);
  await assert.rejects(openStateDir(path), refuses('state_dir_refused', /0750/));
  chmodSync(path, 0o700);
  chmodSync(join(path, 'blobs'), 0o755);
  await assert.rejects(openStateDir(path), refuses('state_dir_refused', /blobs.*0755/));
});

test('a link on the way is refused', async () => {
  mkdirSync(join(base, 'real'), { mode: 0o700 });
  symlinkSync(join(base, 'real'), join(base, 'link'));
  await assert.rejects(openStateDir(join(base, 'link/state')), refuses('state_dir_refused', /link/));
  await assert.rejects(openStateDir(join(base, 'link')), refuses('state_dir_refused', /link/));
});

test('a folder below one that everybody may write to is refused, unless that is sticky', async () => {
  mkdirSync(join(base, 'open'));
  chmodSync(join(base, 'open'), 0o777);
  await assert.rejects(ensurePrivate(join(base, 'open/state')), refuses('state_dir_refused', /everybody/));
  chmodSync(join(base, 'open'), 0o1777);
  await ensurePrivate(join(base, 'open/state'));
});

test('a relative path, or a file, is refused', async () => {
  await assert.rejects(openStateDir('state'), refuses('state_dir_refused', /absolute/));
  await assert.rejects(openStateDir(`${base}/../x`), refuses('state_dir_refused', /simplest/));
  writeFileSync(join(base, 'file'), '');
  await assert.rejects(checkPrivate(join(base, 'file')), refuses('state_dir_refused', /no folder/));
});

test('somebody else’s folder is refused', async (t) => {
  if (process.geteuid?.() !== 0) return t.skip('needs root to give a folder away: sudo npm test');
  const path = join(base, 'state');
  (await openStateDir(path)).close();
  chownSync(path, 65_534, 65_534);
  await assert.rejects(openStateDir(path), refuses('state_dir_refused', /65534/));
});

test('a network file system is refused before anything but the folder is made', async () => {
  const nfs = async () => ({ name: 'NFS', network: true, canBeUpper: false, reflink: false });
  const path = join(base, 'state');
  await assert.rejects(openStateDir(path, nfs), refuses('state_dir_refused', /network.*NFS/));
  assert.deepEqual(readdirSync(path), []);
});

test('whoever changes the layout keeps all others out', async () => {
  const path = join(base, 'state');
  const first = await openStateDir(path);
  const fd = openSync(join(path, 'lock'), 'r');
  assert.equal(flock(fd, 'exclusive', true), false, 'an open state directory is in use');
  first.close();
  assert.equal(flock(fd, 'exclusive', true), true);
  let opened = false;
  const second = openStateDir(path).then((state) => {
    opened = true;
    return state;
  });
  await new Promise((give) => setTimeout(give, 100));
  assert.equal(opened, false);
  closeSync(fd);
  (await second).close();
});
