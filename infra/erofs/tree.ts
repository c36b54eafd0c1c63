import { type DirNode, makeNode, pathOf } from '../layer/dir-node.ts';
import { exceeded } from '../layer/errors.ts';
import { implicit } from '../layer/finish.ts';
import type { Below, Found, LayerTree, Seen } from '../layer/layer-tree.ts';
import { S_IFDIR, S_IFMT } from '../sys.ts';
import { type LowerImages, rootName } from './lowers.ts';
import { type ImageNode, makeImageNode } from './node.ts';
import { typeBits } from './write.ts';

/** The tree of an image that is being made, in memory; the layers below are images. In overlay's form. */
export class ImageTree implements LayerTree {
  readonly root: DirNode;
  readonly form = 'overlay';
  readonly privileged = true;
  readonly hasBelow: boolean;
  readonly lowers: LowerImages;
  readonly #entriesMax: number;
  readonly #folders = new Map<DirNode, ImageNode>();
  #made = 0;

  /** `entriesMax`: entries and directories that may be made (`layerEntriesMax`). */
  constructor(lowers: LowerImages, entriesMax: number) {
    this.lowers = lowers;
    this.#entriesMax = entriesMax;
    this.root = makeNode(null, '', true);
    this.root.dirty = true;
    this.root.lowers = lowers.all;
    this.hasBelow = this.root.lowers.length > 0;
    if (this.hasBelow) this.root.below = lowers.attributes(0, []);
    this.#folders.set(this.root, newFolder());
  }

  /** The root of the image that holds the tree. */
  top(): ImageNode {
    const top = newFolder();
    top.children.set(rootName, this.folder(this.root));
    return top;
  }

  /** The folder of a directory that is here. */
  folder(node: DirNode): ImageNode {
    const folder = this.#folders.get(node);
    if (folder === undefined) throw new TypeError(`${pathOf(node).join('/')} is not here`);
    return folder;
  }

  lookup(node: DirNode, name: string): Found {
    const own = node.here ? this.folder(node).children.get(name) : undefined;
    if (own !== undefined)
      return isOwnWhiteout(node, name, own) ? { at: 'gone' } : { at: 'here', stat: seen(own) };
    const below = this.lookupBelow(node, name);
    return below === null ? { at: 'none' } : { at: 'below', ...below };
  }

  lookupBelow(node: DirNode, name: string): Below | null {
    if (node.lowers.length === 0) return null;
    return this.lowers.find(node.lowers, [...pathOf(node), name]);
  }

  readlink(node: DirNode, name: string, found: Found): Buffer {
    if (found.at === 'below') return this.lowers.readlink(found.lowers[0] ?? 0, [...pathOf(node), name]);
    return this.folder(node).children.get(name)?.target ?? Buffer.alloc(0);
  }

  adopt(node: DirNode, name: string, found: Found): DirNode {
    // Whatever directory this layer has made is known already.
    if (found.at !== 'below') throw new TypeError(`${name} is no directory of a lower layer`);
    const child = attach(node, makeNode(node, name, false));
    child.lowers = found.lowers;
    child.below = this.lowers.attributes(found.lowers[0] ?? 0, pathOf(child));
    return child;
  }

  materialise(node: DirNode): void {
    const missing: DirNode[] = [];
    for (let at: DirNode | null = node; at !== null && !at.here; at = at.parent) missing.push(at);
    for (let at = missing.pop(); at !== undefined; at = missing.pop()) {
      if (at.parent === null) throw new TypeError('the root is always here');
      at.here = true;
      at.parent.dirty = true;
      this.#makeFolder(at.parent, at);
    }
  }

  makeDir(node: DirNode, name: string): DirNode {
    this.materialise(node);
    const child = attach(node, makeNode(node, name, true));
    node.dirty = true;
    this.#makeFolder(node, child);
    const below = this.lookupBelow(node, name);
    if (below !== null && (below.stat.mode & S_IFMT) === S_IFDIR) this.makeOpaque(child);
    return child;
  }

  makeOpaque(node: DirNode): void {
    node.lowers = [];
    node.opaque = true;
  }

  remove(node: DirNode, name: string): void {
    this.forget(node, name);
    this.unlink(node, name);
  }

  unlink(node: DirNode, name: string): void {
    this.folder(node).children.delete(name);
    node.written?.delete(name);
    node.dirty = true;
  }

  forget(node: DirNode, name: string): void {
    const top = node.children?.get(name);
    if (top === undefined) return;
    node.children?.delete(name);
    const nodes = [top];
    for (let at = nodes.pop(); at !== undefined; at = nodes.pop()) {
      if (at.children !== null) nodes.push(...at.children.values());
      at.children = null;
      at.here = false;
      this.#folders.delete(at);
    }
  }

  names(node: DirNode): string[] {
    return node.here ? [...this.folder(node).children.keys()] : [];
  }

  namesBelow(node: DirNode): string[] {
    return this.lowers.names(node.lowers, pathOf(node));
  }

  #makeFolder(parent: DirNode, node: DirNode): void {
    this.#made++;
    if (this.#made > this.#entriesMax) throw exceeded('layerEntriesMax', this.#entriesMax);
    const folder = newFolder();
    this.folder(parent).children.set(node.name, folder);
    this.#folders.set(node, folder);
    node.dirty = true;
  }
}

const newFolder = (): ImageNode => makeImageNode({ type: 'dir', ...implicit });

function attach(node: DirNode, child: DirNode): DirNode {
  node.children ??= new Map();
  node.children.set(child.name, child);
  return child;
}

const isOwnWhiteout = (node: DirNode, name: string, own: ImageNode): boolean =>
  own.type === 'char' && own.major === 0 && own.minor === 0 && node.written?.has(name) !== true;

const seen = (node: ImageNode): Seen => ({
  mode: typeBits[node.type] | node.mode,
  uid: node.uid,
  gid: node.gid,
  nlink: node.links,
  size: node.data.size,
  mtimeSec: BigInt(node.mtime.sec),
  mtimeNsec: node.mtime.nsec,
  rdevMajor: node.major,
  rdevMinor: node.minor,
});
