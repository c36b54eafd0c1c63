import { type ApplyLimits, applyTo } from './apply.ts';
import { type DirNode, makeNode } from './dir-node.ts';
import { LooseTree, NeedsBelow } from './loose-tree.ts';
import type { LayerWarning } from './report.ts';
import type { BlockReader } from './source.ts';
import type { Entry } from './tar.ts';
import type { Marker } from './whiteout.ts';

/** What is to be known of a layer that was unpacked without the layers below it, to put it onto them. */
export interface Prepared {
  entries: number;
  /** Bytes of data written to files. */
  bytes: number;
  warnings: LayerWarning[];
  /** The directories, parents first; the first is the root. */
  directories: PreparedDirectory[];
  /** Deletions, in the layer's order. None of them is carried out yet. */
  markers: Marker[];
}

interface PreparedDirectory {
  /** The index of its parent. */
  parent: number;
  name: string;
  implied: boolean;
  gid: number;
  defaultAcl: boolean;
  written: string[];
  own: Entry | null;
}

/**
 * Unpacks a layer's raw tar into an empty folder, in overlay's form and as root, as if no layer were below
 * it. `settleLayer` then puts it onto those that are. Throws what `applyLayer` does, and `NeedsBelow` for a
 * layer that cannot be told so; either way the folder is of no use.
 */
export function prepareLayer(
  blocks: BlockReader,
  rootfs: string,
  limits: ApplyLimits,
  onEntry: (entries: number) => void = () => {},
): Prepared {
  const markers: Marker[] = [];
  const defer = (marker: Marker): void => {
    if (markers.push(marker) > limits.layerEntriesMax) throw new NeedsBelow('too many deletions to keep');
  };
  const tree = new LooseTree(rootfs, limits.layerEntriesMax);
  try {
    const { entries, bytes, report } = applyTo(tree, blocks, limits, { onEntry, defer });
    return { entries, bytes, warnings: report.warnings, directories: listOf(tree.root), markers };
  } finally {
    tree.close();
  }
}

function listOf(root: DirNode): PreparedDirectory[] {
  const list: PreparedDirectory[] = [];
  const ahead: { node: DirNode; parent: number }[] = [{ node: root, parent: -1 }];
  for (let at = ahead.pop(); at !== undefined; at = ahead.pop()) {
    const { name, implied, gid, defaultAcl, written, own, children } = at.node;
    const index = list.length;
    list.push({ parent: at.parent, name, implied, gid, defaultAcl, written: [...(written ?? [])], own });
    for (const node of children?.values() ?? []) ahead.push({ node, parent: index });
  }
  return list;
}

/** The directories as nodes of a tree again, in the same order. */
export function nodesOf(directories: readonly PreparedDirectory[]): DirNode[] {
  const nodes: DirNode[] = [];
  for (const { parent, name, written, ...known } of directories) {
    const above = nodes[parent] ?? null;
    const node = Object.assign(makeNode(above, name, true), known, { written: new Set(written) });
    if (above !== null) {
      above.children ??= new Map();
      above.children.set(name, node);
    }
    nodes.push(node);
  }
  return nodes;
}
