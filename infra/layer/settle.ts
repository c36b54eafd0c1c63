import { S_IFDIR, S_IFLNK, S_IFMT } from '../sys.ts';
import { type Applied, type ApplyLimits, type ApplyTarget, naming } from './apply.ts';
import { AttributeSetter } from './attributes.ts';
import { type DirNode, pathOf } from './dir-node.ts';
import { DiskMaker } from './disk-maker.ts';
import { bytesOf } from './path.ts';
import { nodesOf, type Prepared } from './prepare.ts';
import { Report } from './report.ts';
import { BlockReader, sourceOf } from './source.ts';
import { TarReader } from './tar.ts';
import { Tree } from './tree.ts';
import { carryOut, type Marker, markerPrefix, opaqueName } from './whiteout.ts';

/**
 * Puts a layer that was unpacked into `target.rootfs` without the layers below it onto those: directories
 * that no entry names get what they have below, deletions become marks. Null when the layer means something
 * else over them (a link below stands where it has a directory, or on the way to a deletion): then the
 * folder is of no use, and the layer must be applied anew. Throws the system's errors.
 */
export function settleLayer(prepared: Prepared, target: ApplyTarget, limits: ApplyLimits): Applied | null {
  const { entries, bytes, directories, markers } = prepared;
  const report = new Report(prepared.warnings);
  const nodes = nodesOf(directories);
  const tree = new Tree({ ...target, entriesMax: limits.layerEntriesMax, root: rootOf(nodes) });
  try {
    const nothing = new TarReader(new BlockReader(sourceOf(Buffer.alloc(0))), limits, report);
    const maker = new DiskMaker(tree, new AttributeSetter(tree.privileged, report), report, nothing);
    const settler = new Settler(tree);
    for (const node of nodes) if (node.implied && !settler.join(node)) return null;
    for (const marker of markers) if (!settler.mark(marker, maker)) return null;
    maker.finish();
    return { entries, bytes, report };
  } finally {
    tree.close();
  }
}

function rootOf([root]: readonly DirNode[]): DirNode {
  if (root === undefined) throw new TypeError('what was prepared has no root');
  return root;
}

/** Joins directories of the layer with what the layers below have at their places. */
class Settler {
  readonly #tree: Tree;
  readonly #joined: Set<DirNode>;

  constructor(tree: Tree) {
    this.#tree = tree;
    this.#joined = new Set([tree.root]);
  }

  /** False when a link below stands at the directory, or at one above it, and an entry would have followed it. */
  join(node: DirNode): boolean {
    const apart: DirNode[] = [];
    for (let at: DirNode | null = node; at !== null && !this.#joined.has(at); at = at.parent) apart.push(at);
    for (let at = apart.pop(); at !== undefined; at = apart.pop()) if (!this.#joinOne(at)) return false;
    return true;
  }

  #joinOne(node: DirNode): boolean {
    const { parent, name } = node;
    if (parent === null) throw new TypeError('the root is joined from the start');
    const below = this.#tree.lookupBelow(parent, name);
    const type = below === null ? 0 : below.stat.mode & S_IFMT;
    if (type === S_IFLNK && node.implied) return false;
    if (below !== null && type === S_IFDIR) {
      node.lowers = below.lowers;
      if (node.own === null) {
        node.below = this.#tree.lowers?.attributes(below.lowers[0] ?? 0, pathOf(node)) ?? null;
        node.dirty = true;
      }
    }
    this.#joined.add(node);
    return true;
  }

  /** Carries out a deletion. False when a link stands on the way to it. */
  mark({ parts, leaf }: Marker, maker: DiskMaker): boolean {
    const path = bytesOf([...parts, leaf].join('/'));
    return naming({ path }, () => {
      const node = this.#directory(parts);
      if (node === 'link') return false;
      if (node === null) return true; // nothing there to hide (case 22)
      // What is below the directories of this layer that a mark is about decides what it does to them.
      const marked = leaf.slice(markerPrefix.length);
      for (const [name, child] of node.children ?? [])
        if (leaf === opaqueName || name === marked) this.join(child);
      carryOut({ tree: this.#tree, maker }, node, leaf);
      return true;
    });
  }

  #directory(parts: readonly string[]): DirNode | 'link' | null {
    let node = this.#tree.root;
    for (const name of parts) {
      const known = node.children?.get(name);
      if (known !== undefined) {
        if (!this.join(known)) return 'link';
        node = known;
        continue;
      }
      const found = this.#tree.lookup(node, name);
      const type = 'stat' in found ? found.stat.mode & S_IFMT : 0;
      if (type === S_IFLNK) return 'link';
      if (type !== S_IFDIR) return null;
      node = this.#tree.adopt(node, name, found);
      this.#joined.add(node);
    }
    return node;
  }
}
