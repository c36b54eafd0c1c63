import {
  close,
  lgetxattr,
  llistxattr,
  mknodat,
  openat,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  symlinkat,
} from '../sys.ts';
import type { AttributeSetter, Attributes } from './attributes.ts';
import { type DirNode, pathOf } from './dir-node.ts';
import { copyFile } from './file-data.ts';
import type { Below } from './layer-tree.ts';
import { directoryFlags, newFileFlags } from './open-below.ts';
import { bytesOf, keyOf } from './path.ts';
import type { Report } from './report.ts';
import type { Tree } from './tree.ts';

/**
 * Overlay, case 15: a hard link to a file that only a lower layer has needs that file up here: data,
 * owner, mode, times and xattrs. It is not marked as written, because no entry wrote it: a whiteout
 * of this layer still deletes it.
 */
export function copyUp(
  tree: Tree,
  node: DirNode,
  name: string,
  lower: Below,
  attributes: AttributeSetter,
  report: Report,
  entry: Buffer,
): void {
  const { lowers } = tree;
  const index = lower.lowers[0];
  if (lowers === null || index === undefined) throw new TypeError('nothing to copy up from');
  // The other names of the file stay with the lower inode: overlayfs has no way to tell it otherwise.
  if (lower.stat.nlink > 1) report.warn('link_group_split', entry);
  const names = [...pathOf(node), name];
  tree.materialise(node);
  node.dirty = true;
  const dir = tree.fd(node);
  const leaf = bytesOf(name);
  const { stat } = lower;
  const known: Attributes = {
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    mtime: { sec: Number(stat.mtimeSec), nsec: stat.mtimeNsec },
    xattrs: [],
  };
  const type = stat.mode & S_IFMT;
  if (type === S_IFREG) {
    const from = lowers.open(index, names);
    const to = openat(dir, leaf, newFileFlags, 0o600);
    try {
      copyFile(from, to, stat.size);
      attributes.file(to, 0o600, { ...known, xattrs: lowers.xattrs(from) }, node, entry);
    } finally {
      close(to);
      close(from);
    }
    return;
  }
  if (type === S_IFLNK) symlinkat(lowers.readlink(index, names), dir, leaf);
  else mknodat(dir, leaf, stat.mode, stat.rdevMajor, stat.rdevMinor);
  const parent = lowers.open(index, pathOf(node), directoryFlags);
  try {
    const path = Buffer.concat([Buffer.from(`/proc/self/fd/${parent}/`), leaf]);
    const xattrs = llistxattr(path)
      .filter((key) => !keyOf(key).startsWith(tree.overlayPrefix))
      .map((key) => ({ name: key, value: lgetxattr(path, key) ?? Buffer.alloc(0) }));
    attributes.node(dir, leaf, type === S_IFLNK, { ...known, xattrs }, node, entry);
  } finally {
    close(parent);
  }
}
