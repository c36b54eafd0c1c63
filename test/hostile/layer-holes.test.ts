import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { copyFile } from '#infra/layer/file-data';
import * as sys from '#infra/sys';
import { LayerStack } from '../support/layer-stack.ts';
import { hardlink, tar } from '../support/tar-builder.ts';
import { sparse, sparseFormats } from '../support/tar-sparse.ts';

const TiB = 2 ** 40;
const limits = { layerLogicalBytesMax: 4 * TiB };
const statOf = (rootfs: string, name: string) =>
  sys.fstatat(sys.AT_FDCWD, path.join(rootfs, name), sys.AT_SYMLINK_NOFOLLOW);
/** Far more than the blocks of a few bytes, far less than those of a hole that was written. */
const fewBlocks = 1024;

/** Rule 54: a header that claims terabytes costs nothing, neither when it is unpacked nor when it is copied. */
describe('holes stay holes', () => {
  for (const format of sparseFormats) {
    const pieces = [
      { offset: 0, length: 3 },
      { offset: TiB / 2, length: 4 },
    ];
    const layers = [
      tar(sparse(format, 'empty', [], TiB, ''), sparse(format, 'large', pieces, TiB, 'abcdefg')),
      tar(hardlink('again', 'large'), hardlink('none', 'empty')),
    ];

    it(`${format}: in flat form`, () => {
      const stack = new LayerStack();
      const { rootfs } = stack.flat(layers, limits);
      assert.equal(statOf(rootfs, 'empty').blocks, 0);
      assertLarge(rootfs, 'large');
      stack.remove();
    });

    it(`${format}: copied up for a hard link, in the form of overlay`, () => {
      const stack = new LayerStack();
      const [upper = ''] = stack.overlay(layers, limits).lowers;
      assert.equal(statOf(upper, 'none').blocks, 0);
      assertLarge(upper, 'again');
      stack.remove();
    });
  }

  it('a copy has the same bytes, holes and size, whatever the places of the data', () => {
    const stack = new LayerStack();
    const folder = stack.folder('copies');
    for (const offsets of [[], [0], [1 << 20], [0, 5 << 20], [(5 << 20) - 3], [7, 1 << 20, 3 << 20]])
      for (const size of [5 << 20, (5 << 20) + 4097, 8 << 20]) copied(folder, offsets, size);
    stack.remove();
  });
});

function assertLarge(rootfs: string, name: string): void {
  const { size, blocks } = statOf(rootfs, name);
  assert.equal(size, TiB);
  assert.ok(blocks > 0 && blocks < fewBlocks, `${blocks} blocks`);
  assert.equal(readAt(path.join(rootfs, name), 0, 3), 'abc');
  assert.equal(readAt(path.join(rootfs, name), TiB / 2, 4), 'defg');
}

function copied(folder: string, offsets: readonly number[], size: number): void {
  const [from, to] = [path.join(folder, 'from'), path.join(folder, 'to')];
  fs.writeFileSync(from, '');
  const fd = fs.openSync(from, 'r+');
  const target = fs.openSync(to, 'w');
  for (const offset of offsets) fs.writeSync(fd, 'data', offset);
  fs.ftruncateSync(fd, size);
  copyFile(fd, target, size);
  fs.closeSync(fd);
  fs.closeSync(target);
  assert.ok(fs.readFileSync(from).equals(fs.readFileSync(to)), `${offsets} of ${size}`);
  assert.ok(statOf(folder, 'to').blocks <= statOf(folder, 'from').blocks + 16, `${offsets} of ${size}`);
}

function readAt(file: string, offset: number, length: number): string {
  const fd = fs.openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(length);
    fs.readSync(fd, bytes, 0, length, offset);
    return bytes.toString('latin1');
  } finally {
    fs.closeSync(fd);
  }
}
