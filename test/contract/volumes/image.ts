import fs from 'node:fs';
import { join } from 'node:path';
import { DataArea } from '#infra/erofs/data-area';
import { blockBytes } from '#infra/erofs/format';
import { rootName } from '#infra/erofs/lowers';
import { type ImageNode, makeImageNode } from '#infra/erofs/node';
import { finishImage } from '#infra/erofs/write';
import { lgetxattr, llistxattr } from '#infra/sys';
import type { OpenVolume } from '#infra/volumes/driver';

const types: readonly (readonly [ImageNode['type'], (stat: fs.BigIntStats) => boolean])[] = [
  ['dir', (stat) => stat.isDirectory()],
  ['symlink', (stat) => stat.isSymbolicLink()],
  ['char', (stat) => stat.isCharacterDevice()],
  ['block', (stat) => stat.isBlockDevice()],
  ['fifo', (stat) => stat.isFIFO()],
];

/**
 * Fills a volume as the tests do, by calls of the file system in `rootfs/`; where the volume is an image,
 * that folder is made for the purpose, and then becomes the image.
 */
export function fillVolume(open: OpenVolume, fill: (open: OpenVolume) => void): void {
  if (open.form !== 'image') {
    fill(open);
    return;
  }
  const rootfs = join(open.root, rootName);
  fs.mkdirSync(rootfs);
  fs.chmodSync(rootfs, 0o755);
  fill(open);
  const fd = fs.openSync(open.image, 'wx');
  try {
    const area = new DataArea(fd, blockBytes);
    const root = makeImageNode({ type: 'dir', mode: 0o700, uid: 0, gid: 0, mtime: { sec: 0, nsec: 0 } });
    root.children.set(rootName, nodeOf(rootfs, area, new Map()));
    finishImage(fd, area, root, fs.readFileSync('/proc/sys/kernel/random/uuid').subarray(0, 16));
  } finally {
    fs.closeSync(fd);
  }
  fs.rmSync(rootfs, { recursive: true });
}

function nodeOf(path: string, area: DataArea, known: Map<bigint, ImageNode>): ImageNode {
  const stat = fs.lstatSync(path, { bigint: true });
  const before = known.get(stat.ino);
  if (before !== undefined) return before;
  const type = types.find(([, is]) => is(stat))?.[0] ?? 'file';
  const sec =
    stat.mtimeNs >= 0n ? stat.mtimeNs / 1_000_000_000n : -((-stat.mtimeNs + 999_999_999n) / 1_000_000_000n);
  const rdev = Number(stat.rdev);
  const node = makeImageNode({
    type,
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtime: { sec: Number(sec), nsec: Number(stat.mtimeNs - sec * 1_000_000_000n) },
    links: Number(stat.nlink),
    xattrs: llistxattr(path).map((name) => ({ name, value: lgetxattr(path, name) ?? Buffer.alloc(0) })),
    major: (rdev >> 8) & 0xfff,
    minor: (rdev & 0xff) | ((rdev >> 12) & 0xfff00),
  });
  if (type !== 'dir') known.set(stat.ino, node);
  if (type === 'symlink') node.target = Buffer.from(fs.readlinkSync(path));
  if (type === 'file') {
    let left = fs.readFileSync(path);
    node.data = area.file(left.length, (max) => {
      const piece = left.subarray(0, max);
      left = left.subarray(max);
      return piece;
    });
  }
  if (type === 'dir')
    for (const name of fs.readdirSync(path)) node.children.set(name, nodeOf(join(path, name), area, known));
  return node;
}
