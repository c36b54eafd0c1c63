import { fchmod, utimensat } from '../sys.ts';
import type { AttributeSetter, Attributes } from './attributes.ts';
import { type DirNode, pathOf } from './dir-node.ts';
import { epoch } from './numbers.ts';
import { bytesOf } from './path.ts';
import type { Tree } from './tree.ts';

/** A directory that no entry names: case 10. Never the time of unpacking, so that every driver makes the same. */
export const implicit: Attributes = { mode: 0o755, uid: 0, gid: 0, mtime: epoch, xattrs: [] };

/**
 * Sets the attributes of all directories that this layer made or changed, once nothing is made in them
 * any more: those of the layer's last entry for it, else those it has below this layer (mtime
 * included), else the defaults. Children come before their parents: the mode of a parent may lock out
 * a user who is not root.
 */
export function finishDirectories(tree: Tree, attributes: AttributeSetter): void {
  const nodes: { node: DirNode; seen: boolean }[] = [{ node: tree.root, seen: false }];
  for (let at = nodes.pop(); at !== undefined; at = nodes.pop()) {
    const { node } = at;
    if (at.seen) {
      if (node.here && node.dirty) finishOne(tree, node, attributes);
      continue;
    }
    nodes.push({ node, seen: true });
    if (node.children !== null)
      for (const child of node.children.values()) nodes.push({ node: child, seen: false });
  }
}

function finishOne(tree: Tree, node: DirNode, attributes: AttributeSetter): void {
  const fd = tree.fd(node);
  const { own, below } = node;
  const entry = own?.path ?? bytesOf(`${pathOf(node).join('/')}/`);
  if (own === null && below !== null && tree.form === 'flat') {
    const { sec, nsec } = below.mtime;
    if (node.widened) fchmod(fd, below.mode);
    utimensat(fd, null, sec, nsec, sec, nsec);
    return;
  }
  const keep = [`${tree.overlayPrefix}opaque`];
  attributes.directory(fd, own ?? below ?? implicit, keep, entry);
}
