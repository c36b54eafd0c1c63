import { mknodat, S_IFCHR } from '../sys.ts';
import type { DirNode } from './dir-node.ts';
import { bytesOf } from './path.ts';
import type { Tree } from './tree.ts';

/**
 * Deletions. A whiteout or opaque mark hides what lower layers have and nothing of its own layer,
 * wherever in the archive it stands (OCI image-spec, layer.md, "Whiteouts"): what this layer wrote,
 * and the directories on the way to it, stay (cases 18 to 23).
 *
 * In flat form the deletion is carried out; in overlay's form it becomes a mark of overlayfs.
 */

/** `.wh.<name>` in a directory. */
export function whiteout(tree: Tree, node: DirNode, name: string): void {
  if (!tree.hasBelow) return;
  const found = tree.lookup(node, name);
  if (found.at === 'none' || found.at === 'gone') return;
  if (node.written?.has(name)) {
    const child = node.children?.get(name);
    if (child !== undefined) hideBelow(tree, child, true);
    return;
  }
  if (found.at === 'here') tree.remove(node, name);
  if (tree.lookupBelow(node, name) !== null) makeWhiteout(tree, node, name);
}

/** `.wh..wh..opq` in a directory: its lower contents go, itself and its attributes stay. */
export function opaque(tree: Tree, node: DirNode): void {
  if (!tree.hasBelow) return;
  hideBelow(tree, node, false);
}

/**
 * A mark of overlayfs that nothing of lower layers shows at a name: character device 0/0, which Linux
 * lets anybody make since 5.8.
 */
export function makeWhiteout(tree: Tree, node: DirNode, name: string): void {
  tree.materialise(node);
  tree.forget(node, name);
  node.dirty = true;
  mknodat(tree.fd(node), bytesOf(name), S_IFCHR, 0, 0);
}

/**
 * Removes, below a directory, whatever this layer did not write. With `replaced`, the directory itself
 * counts as deleted and made anew: without an entry of its own it has nothing left of the lower one.
 */
function hideBelow(tree: Tree, top: DirNode, replaced: boolean): void {
  if (top.parent === null && tree.form === 'overlay') {
    // Overlayfs merges the roots of its layers whatever marks they have: hide each name by itself.
    for (const name of tree.lowers?.names(top.lowers, []) ?? []) whiteout(tree, top, name);
    return;
  }
  const hidesDirectory = tree.form === 'overlay' && top.lowers.length > 0;
  if (hidesDirectory) tree.materialise(top);
  const nodes: { node: DirNode; replaced: boolean }[] = [{ node: top, replaced }];
  for (let at = nodes.pop(); at !== undefined; at = nodes.pop()) {
    const { node } = at;
    if (at.replaced) {
      node.below = null;
      node.dirty = true;
    }
    for (const name of tree.names(node)) {
      if (!node.written?.has(name)) {
        tree.remove(node, name);
        continue;
      }
      const child = node.children?.get(name);
      if (child !== undefined) nodes.push({ node: child, replaced: true });
    }
    // Directories that were only looked at, in lower layers, do not show any more.
    for (const child of node.children?.values() ?? []) if (!child.here) tree.forget(node, child.name);
    if (node !== top) node.lowers = [];
  }
  if (hidesDirectory) tree.makeOpaque(top);
}
