import assert from 'node:assert/strict';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type Digest, digestOfHex } from '#core/ids';
import { defaultLimits } from '#core/limits';
import { createExec } from '#infra/exec';
import { applyLayer } from '#infra/layer/apply';
import { RingStopped, RingWriter } from '#infra/layer/ring';
import { BlockReader, sourceOf } from '#infra/layer/source';
import type { LayerParts, PartMaking } from '#infra/volumes/driver';
import { createTreeParts } from '#infra/volumes/tree-parts';
import { dir, file, symlink, tar, whiteout } from '../support/tar-builder.ts';
import { diffTrees, listTree } from '../support/tree.ts';

const digest: Digest = digestOfHex('ab'.repeat(32));
const name = 'ab'.repeat(32);
const below = tar(dir('etc', { mode: 0o750 }), file('etc/old'), symlink('lib', 'usr/lib'));
const layer = tar(
  file('etc/new'),
  whiteout('etc/old'),
  ...Array.from({ length: 500 }, (_, n) => file(`d/${n}`)),
);

describe('parts that are trees', {
  skip: process.getuid?.() === 0 ? false : 'needs root: run the tests as root',
}, () => {
  let base: string;
  let folder: string;
  let parts: LayerParts;
  let lower: string;
  beforeEach(() => {
    base = fs.mkdtempSync(join(tmpdir(), 'flyd-parts-'));
    folder = join(base, 'parts', 'overlay');
    parts = createTreeParts({ folder, exec: createExec() });
    lower = join(base, 'lower');
    fs.mkdirSync(lower);
    apply(below, lower, []);
  });
  afterEach(() => fs.rmSync(base, { recursive: true, force: true }));

  const apply = (raw: Buffer, rootfs: string, lowers: string[]) =>
    applyLayer(
      new BlockReader(sourceOf(raw)),
      { rootfs, form: 'overlay', lowers, privileged: true },
      defaultLimits,
    );

  function feed(making: PartMaking, raw: Buffer, end: 'end' | 'fail' = 'end'): void {
    const writer = new RingWriter(making.ring, { sum: true });
    try {
      for (let at = 0; at < raw.length; ) {
        const bytes = raw.copy(writer.reserve(), 0, at);
        writer.commit(bytes);
        at += bytes;
      }
      writer[end]();
    } catch (error) {
      if (!(error instanceof RingStopped)) throw error;
    }
  }

  async function keep(raw: Buffer): Promise<void> {
    const making = parts.begin('layer-1', defaultLimits);
    feed(making, raw);
    await making.keep(digest);
  }

  function volume(at: string) {
    const root = join(base, at);
    fs.mkdirSync(join(root, 'rootfs'), { recursive: true });
    return { root, form: 'overlay' as const, lowers: [lower], privileged: true };
  }

  it('have a name only when they are whole, and fill a volume as the layer does', async () => {
    const making = parts.begin('layer-1', defaultLimits);
    feed(making, layer);
    await new Promise((done) => setTimeout(done, 20));
    assert.equal(fs.existsSync(join(folder, name)), false, 'nobody said yet what it is');
    await making.keep(digest);
    assert.deepEqual(fs.readdirSync(folder), [name]);
    const [filled, plain] = [volume('filled'), volume('plain')];
    const report = await parts.fill(digest, filled, defaultLimits);
    const applied = apply(layer, join(plain.root, 'rootfs'), [lower]);
    assert.deepEqual([report?.entries, report?.bytes], [applied.entries, applied.bytes]);
    const [made, wanted] = [listTree(filled.root), listTree(plain.root)];
    assert.equal(made.get('./rootfs/etc/old')?.rdev, '0:0', 'a deletion is a mark of overlayfs');
    // A mark has the time at which it was made, and the folder around the tree is not the layer's.
    for (const tree of [made, wanted]) for (const name of ['./rootfs/etc/old', '.']) tree.delete(name);
    assert.deepEqual(diffTrees(made, wanted), []);
    assert.deepEqual(fs.readdirSync(folder), [], 'a part is used up');
    assert.equal(await parts.fill(digest, volume('again'), defaultLimits), null);
  });

  it('leave a volume empty that they do not fit', async () => {
    await keep(tar(file('lib/through-a-link'), file('x')));
    const { root, ...rest } = volume('v');
    assert.equal(await parts.fill(digest, { root, ...rest }, defaultLimits), null);
    assert.deepEqual(fs.readdirSync(root), ['rootfs']);
    assert.deepEqual(fs.readdirSync(join(root, 'rootfs')), []);
    assert.equal(fs.statSync(join(root, 'rootfs')).mode & 0o7777, 0o755);
    assert.deepEqual(fs.readdirSync(folder), []);
  });

  it('are not kept of a layer that is broken, or that was given up', async () => {
    await keep(Buffer.concat([tar(file('a')).subarray(0, 1024), Buffer.from('no header'.repeat(100))]));
    assert.deepEqual(fs.readdirSync(folder), []);
    const making = parts.begin('layer-1', defaultLimits);
    feed(making, layer.subarray(0, 512 * 100), 'fail');
    await making.drop();
    assert.deepEqual(fs.readdirSync(folder), []);
  });

  it('replace what a killed one left', async () => {
    fs.mkdirSync(join(folder, 'layer-1.tmp', 'rootfs', 'etc'), { recursive: true });
    fs.writeFileSync(join(folder, 'layer-1.tmp', 'rootfs', 'etc', 'stale'), 'stale');
    await keep(layer);
    const filled = volume('v');
    await parts.fill(digest, filled, defaultLimits);
    assert.deepEqual(fs.readdirSync(join(filled.root, 'rootfs', 'etc')).sort(), ['new', 'old']);
  });

  it('leave nothing of a killed one when a layer is not prepared again', async () => {
    fs.mkdirSync(join(folder, 'layer-1.tmp', 'rootfs', 'etc'), { recursive: true });
    await parts.tidy('layer-1');
    await parts.tidy('layer-1');
    assert.deepEqual(fs.readdirSync(folder), []);
  });

  it('that were being used when that was killed are of no use, and removed', async () => {
    await keep(layer);
    fs.renameSync(join(folder, name, 'rootfs'), join(base, 'half'));
    assert.equal(await parts.fill(digest, volume('v'), defaultLimits), null);
    assert.deepEqual(fs.readdirSync(folder), []);
  });

  it('are listed with what they take, and removed by name', async () => {
    assert.deepEqual(await parts.list(), []);
    await keep(layer);
    fs.mkdirSync(join(folder, 'other.tmp'));
    const list = await parts.list();
    assert.deepEqual(list.map((part) => part.name).sort(), [name, 'other.tmp']);
    assert.ok((list.find((part) => part.name === name)?.bytes ?? 0) >= 500 * 4096);
    for (const part of list) await parts.remove(part.name);
    assert.deepEqual(fs.readdirSync(folder), []);
    await parts.remove(name);
    await parts.drop(digest);
  });

  it('keep inside what a link of the layer leads out to', async () => {
    fs.mkdirSync(join(base, 'outside'));
    await keep(
      tar(symlink('out', `${base}/outside`), symlink('up', '../../../outside'), file('out/a'), file('up/b')),
    );
    const filled = volume('v');
    assert.ok(await parts.fill(digest, filled, defaultLimits));
    assert.deepEqual(fs.readdirSync(join(base, 'outside')), []);
    assert.equal(fs.readFileSync(join(filled.root, 'rootfs', base, 'outside/a'), 'utf8'), 'out/a');
    assert.equal(fs.readFileSync(join(filled.root, 'rootfs', 'outside/b'), 'utf8'), 'up/b');
  });
});
