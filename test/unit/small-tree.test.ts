import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createExec } from '#infra/exec';
import { removeTree } from '#infra/volumes/folders';
import { removeSmallTree } from '#infra/volumes/small-tree';

function lab(t: TestContext): { tree: string; outside: string } {
  const folder = mkdtempSync(join(tmpdir(), 'flyd-small-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const [tree, outside] = [join(folder, 'tree'), join(folder, 'outside')];
  for (const each of [join(tree, 'upper/etc'), join(tree, 'work/work'), outside])
    mkdirSync(each, { recursive: true });
  writeFileSync(join(outside, 'kept'), 'kept');
  writeFileSync(join(tree, 'upper/etc/motd'), 'hello');
  symlinkSync(outside, join(tree, 'upper/out'));
  writeFileSync(Buffer.concat([Buffer.from(join(tree, 'upper/')), Buffer.from([0xff, 0xfe])]), 'no UTF-8');
  return { tree, outside };
}

test('a small tree is removed at once, and what its links lead to is not', (t) => {
  const { tree, outside } = lab(t);
  mkdirSync(join(tree, 'work/closed'), { mode: 0 });
  assert.equal(removeSmallTree(tree, false), true);
  assert.equal(existsSync(tree), false);
  assert.deepEqual(readdirSync(outside), ['kept']);
});

test('what is not small is left as it is, for rm', async (t) => {
  const many = lab(t).tree;
  for (let n = 0; n < 64; n++) writeFileSync(join(many, `work/work/${n}`), '');
  const large = lab(t).tree;
  writeFileSync(join(large, 'upper/large'), Buffer.alloc(17 * 1024 * 1024, 1));
  for (const tree of [many, large]) {
    const count = () => readdirSync(tree, { recursive: true }).length;
    const before = count();
    assert.equal(removeSmallTree(tree, true), false);
    assert.equal(count(), before);
    const exec = createExec();
    await removeTree(tree, { exec, op: 'activation.remove', privileged: true });
    assert.equal(existsSync(tree), false);
  }
});

test('what is not there, or no folder, is nothing for it', (t) => {
  const { tree, outside } = lab(t);
  assert.equal(removeSmallTree(join(tree, 'nothing'), true), false);
  assert.equal(removeSmallTree(join(outside, 'kept'), true), false);
  assert.equal(removeSmallTree(join(tree, 'upper/out'), true), false);
  assert.deepEqual(readdirSync(outside), ['kept']);
});
