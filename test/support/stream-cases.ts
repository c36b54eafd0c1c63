import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FlydError } from '#core/errors';
import type { DiffId } from '#core/ids';
import { defaultLimits } from '#core/limits';
import { unpackLayer } from '#infra/layer/unpack';
import { isRoot, LayerStack } from './layer-stack.ts';
import { diffTrees, listTree } from './tree.ts';

/** A layer as it is stored, and what must come of it. */
export interface StreamCase {
  /** Numbers of docs/layers.md, sections of RFCs. */
  rule: string;
  title: string;
  blob: () => Buffer;
  /** The archive that it must unpack like. */
  raw?: Buffer;
  /** Or the error code that it must fail with. */
  fails?: string;
  /** An archive whose diffID is expected. */
  diffIdOf?: Buffer;
}

const diffIdOf = (bytes: Buffer): DiffId =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}` as DiffId;

/** Runs each case as a volume's filling runs: from a file, in the two threads. The form of the tree is all one to these. */
export function runStreams(cases: readonly StreamCase[]): void {
  describe('layers as they are stored', () => {
    let stack: LayerStack;
    const blobs = fs.mkdtempSync(path.join(os.tmpdir(), 'flyd-streams-'));
    before(() => {
      stack = new LayerStack();
    });
    after(() => {
      stack.remove();
      fs.rmSync(blobs, { recursive: true, force: true });
    });
    const unpack = async (one: StreamCase) => {
      const rootfs = stack.folder('stream');
      const blobPath = path.join(blobs, 'blob');
      fs.writeFileSync(blobPath, one.blob());
      const expected = one.diffIdOf ?? one.raw;
      await unpackLayer({
        blobPath,
        expected: expected === undefined ? {} : { diffId: diffIdOf(expected) },
        target: { rootfs, form: 'flat', lowers: [], privileged: isRoot },
        limits: defaultLimits,
        signal: new AbortController().signal,
        sync: false,
      });
      return rootfs;
    };
    for (const one of cases)
      it(`${one.rule}: ${one.title}`, async () => {
        if (one.fails !== undefined) {
          await assertFails(unpack(one), one.fails);
          return;
        }
        assert.ok(one.raw !== undefined, 'a case wants `raw` or `fails`');
        const wanted = listTree(stack.flat([one.raw]).rootfs);
        assert.deepEqual(diffTrees(wanted, listTree(await unpack(one))), []);
      });
  });
}

const assertFails = (unpacking: Promise<unknown>, code: string) =>
  assert.rejects(unpacking, (error: unknown) => {
    assert.ok(error instanceof FlydError, String(error));
    assert.deepEqual([error.code, error.kind], [code, 'unrecoverable'], error.message);
    return true;
  });
