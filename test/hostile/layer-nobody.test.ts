import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FlydError } from '#core/errors';
import { asNobody } from '../support/as-nobody.ts';
import type { Case } from '../support/layer-cases.ts';
import { isRoot, LayerStack } from '../support/layer-stack.ts';
import { tar } from '../support/tar-builder.ts';
import { diffTrees, type Entry, listTree } from '../support/tree.ts';
import { corpus } from './corpus/index.ts';

/**
 * The whole corpus again, unpacked by a user who has no rights at all, in both forms: the kernel itself
 * stops what must not be done, so read-only directories have to be widened and put right again. What
 * only root can keep (owners, set-id bits, devices, xattrs but `user.`) is not compared.
 */
const fields = ['type', 'size', 'sha256', 'target', 'linkGroup', 'mtimeNs'] as const;

describe('layers unpacked by a user without rights', {
  skip: isRoot ? false : 'needs root, to become nobody: run the tests as root',
}, () => {
  let stack: LayerStack;
  let outside = '';
  before(() => {
    stack = new LayerStack();
    fs.chownSync(stack.base, 65_534, 65_534);
    outside = path.join(stack.base, 'outside');
    asNobody(() => {
      fs.mkdirSync(outside);
      fs.writeFileSync(path.join(outside, 'secret'), 'secret', { mode: 0o600 });
    });
  });
  after(() => stack.remove());

  for (const [group, cases] of Object.entries(corpus))
    it(`${group}, flat and overlay`, () => {
      const was = listTree(outside);
      for (const one of cases.filter(({ root }) => root !== true)) check(stack, one);
      assert.deepEqual(diffTrees(was, listTree(outside)), [], 'something outside was touched');
    });
});

function check(stack: LayerStack, one: Case): void {
  const layers = one.raw ?? (one.layers ?? []).map((entries) => tar(...entries));
  for (const form of ['flat', 'overlay'] as const) {
    const title = `${one.rule}: ${one.title}, ${form}`;
    const attempt = () => asNobody(() => stack[form](layers, one.limits, false));
    if (one.fails !== undefined) {
      assert.throws(
        attempt,
        (error) => error instanceof FlydError && error.code === one.fails && error.kind === 'unrecoverable',
        title,
      );
      continue;
    }
    const made = attempt();
    if ('rootfs' in made) expectTree(listTree(made.rootfs), one.expect ?? {}, title);
  }
}

function expectTree(
  tree: ReadonlyMap<string, Entry>,
  expect: Readonly<Record<string, Partial<Entry> | null>>,
  title: string,
): void {
  for (const [at, wanted] of Object.entries(expect)) {
    const got = tree.get(at);
    assert.equal(got === undefined, wanted === null, `${title}: ${at}`);
    if (got === undefined || wanted === null) continue;
    for (const field of fields)
      if (field in wanted) assert.deepEqual(got[field], wanted[field], `${title}: ${at}: ${field}`);
    if ('mode' in wanted)
      assert.equal(got.mode & 0o1777, (wanted.mode ?? 0) & 0o1777, `${title}: ${at}: mode`);
  }
}
