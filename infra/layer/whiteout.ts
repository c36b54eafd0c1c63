import type { DirNode } from './dir-node.ts';
import type { LayerTree, Maker } from './layer-tree.ts';

/** A tree and what makes marks in it. */
export interface Marking {
  tree: LayerTree;
  maker: Pick<Maker, 'whiteout'>;
}

/** Names that begin so are instructions, never files. */
export const markerPrefix = '.wh.';
export const opaqueName = '.wh..wh..opq';

/** An entry that marks a deletion: the directory that it stands in, and its own name. */
export interface Marker {
  parts: readonly string[];
  leaf: string;
}

/** Does what a marker of this name says in a directory. */
export function carryOut(marking: Marking, node: DirNode, leaf: string): void {
  if (leaf === opaqueName) opaque(marking, node);
  else whiteout(marking, node, leaf.slice(markerPrefix.length));
}

/**
 * Deletions. A whiteout or opaque mark hides what lower layers have and nothing of its own layer,
 * wherever in the archive it stands (OCI image-spec, layer.md, "Whiteouts"): what this layer wrote,
 * and the directories on the way to it, stay (cases 18 to 23).
 *
 * In flat form the deletion is carried out; in overlay's form it becomes a mark of overlayfs.
 */

/** `.wh.<name>` in a directory. */
function whiteout(marking: Marking, node: DirNode, name: string): void {
  const { tree } = marking;
  if (!tree.hasBelow) return;
  const found = tree.lookup(node, name);
  if (found.at === 'none' || found.at === 'gone') return;
  if (node.written?.has(name)) {
    const child = node.children?.get(name);
    if (child !== undefined) hideBelow(marking, child, true);
    return;
  }
  if (found.at === 'here') tree.remove(node, name);
  if (tree.lookupBelow(node, name) !== null) makeWhiteout(marking, node, name);
}

/** `.wh..wh..opq` in a directory: its lower contents go, itself and its attributes stay. */
function opaque(marking: Marking, node: DirNode): void {
  if (!marking.tree.hasBelow) return;
  hideBelow(marking, node, false);
}

/** A mark of overlayfs that nothing of lower layers shows at a name. */
export function makeWhiteout({ tree, maker }: Marking, node: DirNode, name: string): void {
  tree.materialise(node);
  tree.forget(node, name);
  node.dirty = true;
  maker.whiteout(node, name);
}

/**
 * Removes, below a directory, whatever this layer did not write. With `replaced`, the directory itself
 * counts as deleted and made anew: without an entry of its own it has nothing left of the lower one.
 */
function hideBelow(marking: Marking, top: DirNode, replaced: boolean): void {
  const { tree } = marking;
  if (top.parent === null && tree.form === 'overlay') {
    // Overlayfs merges the roots of its layers whatever marks they have: hide each name by itself.
    for (const name of tree.namesBelow(top)) whiteout(marking, top, name);
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
