import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FlydError } from '#core/errors';
import type { Limits } from '#core/limits';
import type { WarningCode } from '#infra/layer/report';
import { imageProblem, isRoot, LayerStack, overlayProblem } from './layer-stack.ts';
import { type TarEntry, tar } from './tar-builder.ts';
import { diffTrees, type Entry, listTree } from './tree.ts';

/** What a stack of layers must come to, in every form. */
export interface Case {
  /** Numbers of docs/layers.md, or the CVE. */
  rule: string;
  title: string;
  /** Entries of each layer; `raw` instead is whole archives, byte by byte. */
  layers?: (TarEntry | Buffer)[][];
  raw?: Buffer[];
  limits?: Partial<Limits>;
  /** What must be at a path in the end; null for nothing. */
  expect?: Record<string, Partial<Entry> | null>;
  /** The error code that the stack must fail with. */
  fails?: string;
  /** The entry that the error must name; null when it is about the archive. Default: any entry. */
  names?: string | null;
  warns?: WarningCode[];
  /** Needs devices, owners and the like. */
  root?: boolean;
}

/** What a directory looks like that no entry names. */
export const defaults = { type: 'dir', mode: 0o755, uid: 0, gid: 0, mtimeNs: 0n } as const;
/** The time that the builder gives to entries. */
export const builderTime = 1_700_000_000n * 1_000_000_000n;
export const sized = (text: string) => ({ size: Buffer.byteLength(text) });

/**
 * Runs cases in flat form, beside a folder that nothing may touch, and compares with the kernel's overlay of
 * the same layers in overlay's form, and as EROFS images.
 */
export function runCases(group: string, cases: readonly Case[]): void {
  describe(`layers: ${group}`, () => {
    const noOverlay = overlayProblem();
    const noImages = imageProblem();
    let stack: LayerStack;
    let outside = '';
    before(() => {
      stack = new LayerStack();
      outside = path.join(stack.base, 'outside');
      fs.mkdirSync(outside);
      fs.writeFileSync(path.join(outside, 'secret'), 'secret', { mode: 0o600 });
    });
    after(() => stack.remove());

    const guarded = (act: () => void) => {
      const was = listTree(outside);
      act();
      assert.deepEqual(diffTrees(was, listTree(outside)), [], 'something outside was touched');
    };

    for (const one of cases) {
      const title = `${one.rule}: ${one.title}`;
      const noRoot = one.root && !isRoot ? 'needs root: run the tests as root' : false;
      const layers = one.raw ?? (one.layers ?? []).map((entries) => tar(...entries));
      const { fails } = one;
      if (fails !== undefined) {
        it(title, { skip: noRoot }, () =>
          guarded(() => {
            assertFails(() => stack.flat(layers, one.limits), fails, one.names);
            assertFails(() => stack.overlay(layers, one.limits), fails, one.names);
            assertFails(() => stack.images(layers, one.limits), fails, one.names);
            if (isRoot) assertFails(() => stack.prepared(layers, one.limits), fails, one.names);
          }),
        );
        continue;
      }
      it(title, { skip: noRoot }, () => guarded(() => assertFlat(stack, one, layers)));
      it(`${title}, as an overlay`, { skip: noRoot || noOverlay }, () =>
        guarded(() => {
          const { lowers } = stack.overlay(layers, one.limits);
          assertSame(stack, one, layers, stack.merge(lowers));
        }),
      );
      it(`${title}, prepared`, { skip: noRoot || noOverlay }, () =>
        guarded(() => {
          const { lowers } = stack.prepared(layers, one.limits);
          assertSame(stack, one, layers, stack.merge(lowers));
        }),
      );
      it(`${title}, as images`, { skip: noRoot || noImages }, () =>
        guarded(() => {
          const { lowers } = stack.images(layers, one.limits);
          assertSame(stack, one, layers, stack.mergeImages(lowers));
        }),
      );
    }
  });
}

function assertFails(act: () => unknown, code: string, names: string | null | undefined): void {
  assert.throws(act, (error: unknown) => {
    assert.ok(error instanceof FlydError, String(error));
    assert.deepEqual([error.code, error.kind], [code, 'unrecoverable'], error.message);
    if (names === undefined) assert.ok(error.subject, `names no entry: ${error.message}`);
    else assert.equal(error.subject ?? null, names, error.message);
    return true;
  });
}

function assertFlat(stack: LayerStack, one: Case, layers: readonly Buffer[]): void {
  const { rootfs, applied } = stack.flat(layers, one.limits);
  const tree = listTree(rootfs);
  for (const [at, wanted] of Object.entries(one.expect ?? {})) {
    const got = tree.get(at);
    if (wanted === null) {
      assert.equal(got, undefined, `${at} must not be there`);
      continue;
    }
    assert.ok(got, `${at} must be there: ${[...tree.keys()].join(' ')}`);
    for (const [field, value] of Object.entries(wanted)) {
      if (!isRoot && (field === 'uid' || field === 'gid')) continue;
      assert.deepEqual(got[field as keyof Entry], value, `${at}: ${field}`);
    }
  }
  const codes = applied.flatMap(({ report }) => report.warnings.map(({ code }) => code));
  for (const code of one.warns ?? []) assert.ok(codes.includes(code), `no warning ${code}, but ${codes}`);
}

/** A merged tree of the same layers must be that of the flat form. */
function assertSame(stack: LayerStack, one: Case, layers: readonly Buffer[], merged: string): void {
  const { rootfs } = stack.flat(layers, one.limits);
  assert.deepEqual(diffTrees(listTree(rootfs), listTree(merged)), [], 'flat | merged');
}
