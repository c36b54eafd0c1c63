import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { FlydError } from '#core/errors';
import { defaultLimits } from '#core/limits';
import { applyLayer } from '#infra/layer/apply';
import { BlockReader, sourceOf } from '#infra/layer/source';
import { isRoot } from '../support/layer-stack.ts';
import { end, ended, go, pause, type SwapJob } from '../support/symlink-swapper.ts';
import {
  dir,
  file,
  hardlink,
  opaque,
  symlink,
  type TarEntry,
  tar,
  whiteout,
} from '../support/tar-builder.ts';
import { diffTrees, listTree } from '../support/tree.ts';

/**
 * Somebody swaps directories for links, and files for links, while a layer is applied (CVE-2025-47290,
 * CVE-2018-15664, CVE-2021-32760). Whatever the swaps do to the volume, which is theirs anyway: nothing
 * outside may change, and what cannot be done ends in an error that flyd knows.
 */
/** More directories than the applier keeps open: it opens them again by their way from the root. */
const many = Array.from({ length: 80 }, (_, i) => `b/d${i}`);
const below: TarEntry[][] = [
  [...many.map((name) => dir(`a/${name}`)), ...many.map((name) => file(`a/${name}/f`, 'evil'))],
  [file('a/b/f', 'evil', { mode: 0o666, uid: 5 }), file('a/b/f', 'evil', { mode: 0o4777 })],
  [{ name: 'a/p', type: '6', mode: 0o4777, uid: 6, pax: { 'SCHILY.xattr.trusted.evil': '1' } }],
  [symlink('a/b/s', 'f', { uid: 7, pax: { 'SCHILY.xattr.trusted.evil': '1' } })],
  [file('a/b/f', 'evil'), hardlink('a/h', 'a/b/f'), hardlink('a/b/s', 'a/h')],
  [file('a/b/c/implicit', 'evil'), file('a/b/c', 'evil')],
  [whiteout('a/b/secret'), whiteout('a/p'), whiteout('a/b')],
  [opaque('a/b'), opaque('a')],
  [file('a/b', 'evil'), dir('a/b'), symlink('a/b', 'x'), dir('a/b')],
];
const layers = below.map((entries) =>
  tar(dir('a', { mode: 0o711, uid: 3 }), dir('a/b', { mode: 0o777, uid: 4 }), ...entries),
);

/** The tree that must not change, with the names that a swapped directory leads to. */
function makeOutside(base: string): string {
  const outside = path.join(base, 'outside');
  fs.mkdirSync(path.join(outside, 'b'), { recursive: true });
  for (const name of many) fs.mkdirSync(path.join(outside, name), { mode: 0o700 });
  for (const name of ['secret', 'p', 'h', 'b/f', 'b/s', 'b/secret'])
    fs.writeFileSync(path.join(outside, name), 'precious', { mode: 0o600 });
  return outside;
}

/** A swapper at work in `<base>/rootfs`. */
class Swapper {
  readonly #words = new Int32Array(new SharedArrayBuffer(16));
  readonly #worker: Worker;

  constructor(rootfs: string, outside: string) {
    const workerData: SwapJob = { rootfs, outside, words: this.#words };
    this.#worker = new Worker(new URL('../support/symlink-swapper.ts', import.meta.url), { workerData });
  }

  go(): void {
    Atomics.store(this.#words, 0, go);
    Atomics.notify(this.#words, 0);
  }

  /** Returns when the swapper touches nothing any more. */
  rest(): void {
    Atomics.store(this.#words, 0, pause);
    Atomics.wait(this.#words, 1, 0);
    assert.notEqual(Atomics.load(this.#words, 1), ended, 'the swapper died');
  }

  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.#worker.once('exit', resolve));
    Atomics.store(this.#words, 0, end);
    Atomics.notify(this.#words, 0);
    await ended;
  }
}

/** Runs `once` on a fresh rootfs again and again while the swapper swaps, until `enough`. */
async function race(
  once: (rootfs: string, round: number) => void,
  enough: (rounds: number, changed: () => string[]) => boolean,
): Promise<string[]> {
  const base = fs.mkdtempSync(path.join(os.tmpdir(), 'flyd-race-'));
  const outside = makeOutside(base);
  const rootfs = path.join(base, 'rootfs');
  const was = listTree(outside);
  const changed = () => diffTrees(was, listTree(outside));
  const swapper = new Swapper(rootfs, outside);
  try {
    for (let rounds = 1; ; rounds++) {
      swapper.rest();
      for (const name of ['rootfs', 'evil'])
        fs.rmSync(path.join(base, name), { recursive: true, force: true });
      fs.mkdirSync(rootfs);
      swapper.go();
      once(rootfs, rounds);
      if (enough(rounds, changed)) return changed();
    }
  } finally {
    await swapper.end();
    fs.rmSync(base, { recursive: true, force: true });
  }
}

/** An applier that trusts paths, as many have. */
function applyByPaths(rootfs: string): void {
  try {
    fs.mkdirSync(path.join(rootfs, 'a/b'), { recursive: true });
    fs.writeFileSync(path.join(rootfs, 'a/b/f'), 'evil');
    fs.writeFileSync(path.join(rootfs, 'a/p'), 'evil');
    fs.chmodSync(path.join(rootfs, 'a/p'), 0o777);
  } catch {
    // the swapper was faster
  }
}

const rounds = Number(process.env.FLYD_TEST_ROUNDS ?? 20);

/** One layer over a rootfs: how it ended. */
function outcomeOf(layer: Buffer, rootfs: string, form: 'flat' | 'overlay', lowers: string[]): string {
  try {
    const blocks = new BlockReader(sourceOf(layer, 700));
    applyLayer(blocks, { rootfs, form, lowers, privileged: isRoot }, defaultLimits);
    return 'whole';
  } catch (error) {
    if (!(error instanceof FlydError)) throw error;
    return error.code;
  }
}

describe('a race of symlinks', () => {
  it('leads an applier by paths outside: the swapper bites', async () => {
    const changed = await race(applyByPaths, (rounds, changed) => changed().length > 0 || rounds === 100_000);
    assert.notDeepEqual(changed, []);
  });

  for (const form of ['flat', 'overlay'] as const)
    it(`never leads flyd outside, ${form}`, async (t) => {
      const outcomes = new Map<string, number>();
      const lower = fs.mkdtempSync(path.join(os.tmpdir(), 'flyd-race-lower-'));
      for (const layer of layers) outcomeOf(layer, lower, 'flat', []);
      const changed = await race(
        (rootfs, round) => {
          const layer = layers[round % layers.length] ?? Buffer.alloc(0);
          // Only in flat form may a tree be filled again: there the next layer meets what swaps left.
          for (let i = 0; i < (form === 'flat' ? 3 : 1); i++) {
            const outcome = outcomeOf(layer, rootfs, form, form === 'overlay' ? [lower] : []);
            outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
          }
        },
        // On a busy machine the two may hardly meet: then longer, to a limit.
        (done) =>
          done >= rounds * layers.length && (outcomes.size > 1 || done >= 20 * rounds * layers.length),
      );
      fs.rmSync(lower, { recursive: true });
      assert.deepEqual(changed, []);
      t.diagnostic([...outcomes].map(([code, count]) => `${code} ${count}`).join(', '));
      assert.ok(outcomes.size > 1, 'no layer met a swap');
    });
});
