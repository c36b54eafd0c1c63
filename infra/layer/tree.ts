import { unrecoverable } from '#core/errors';
import {
  AT_SYMLINK_NOFOLLOW,
  check,
  close,
  fchmod,
  fchmodat,
  fgetxattr,
  fsetxattr,
  fstat,
  mkdirat,
  readdirAt,
  readlinkat,
  S_IFCHR,
  S_IFDIR,
  S_IFMT,
  tryFstatat,
  unlinkat,
} from '../sys.ts';
import { type DirNode, makeNode, pathOf } from './dir-node.ts';
import { exceeded } from './errors.ts';
import type { Below, Found, LayerTree, Seen } from './layer-tree.ts';
import { Lowers, overlayPrefix } from './lowers.ts';
import { directoryFlags, openBelow, openRoot } from './open-below.ts';
import { bytesOf, keyOf } from './path.ts';
import { removeEntry } from './remove.ts';

export interface TreeOptions {
  /** The folder that becomes the image's root. */
  rootfs: string;
  form: 'flat' | 'overlay';
  /** With `overlay`: the `rootfs` folders of the layers below, nearest first. */
  lowers: readonly string[];
  privileged: boolean;
  /** Entries and directories that may be made (`layerEntriesMax`). */
  entriesMax: number;
  /** What this layer has made in the folder already, to go on with; else it must be empty in overlay's form. */
  root?: DirNode;
}

const openMax = 64;
const EACCES = -13;

/** The tree of a volume on the disk. */
export class Tree implements LayerTree {
  readonly root: DirNode;
  readonly form: 'flat' | 'overlay';
  readonly privileged: boolean;
  readonly overlayPrefix: string;
  /** Null in flat form. */
  readonly lowers: Lowers | null;
  /** Something was there before this layer, or may be: whiteouts have work to do. */
  readonly hasBelow: boolean;
  readonly #rootFd: number;
  readonly #entriesMax: number;
  /** Nodes with an open fd, the one used last at the end. */
  readonly #open = new Set<DirNode>();
  #newest: DirNode | null = null;
  #made = 0;

  constructor({ rootfs, form, lowers, privileged, entriesMax, root }: TreeOptions) {
    this.form = form;
    this.privileged = privileged;
    this.overlayPrefix = overlayPrefix(privileged);
    this.#entriesMax = entriesMax;
    this.#rootFd = openRoot(rootfs);
    this.root = root ?? makeNode(null, '', true);
    this.lowers = form === 'overlay' ? new Lowers(lowers, privileged) : null;
    this.#describeRoot();
    const filled = readdirAt(this.#rootFd).length > 0;
    this.hasBelow = form === 'overlay' ? lowers.length > 0 : filled;
    if (form === 'overlay' && filled && root === undefined) this.#refuseFilled(rootfs);
  }

  /** What is there would count as this layer's own, and its whiteouts as nobody's. */
  #refuseFilled(rootfs: string): never {
    this.close();
    throw unrecoverable('driver_failed', 'the volume of an overlay layer is not empty', {
      op: 'volume.unpack',
      subject: rootfs,
      hint: 'it must be made anew before it is filled again',
    });
  }

  /**
   * A root folder that nobody gave a time yet (its time of birth is its mtime) is the driver's fresh
   * one: without an entry of its own it gets the defaults, like any directory that no layer names.
   */
  #describeRoot(): void {
    const stat = fstat(this.#rootFd);
    this.root.gid = stat.gid;
    this.root.defaultAcl = hasDefaultAcl(this.#rootFd);
    this.root.dirty = true;
    if (this.lowers !== null) {
      this.root.lowers = this.lowers.all;
      if (this.root.lowers.length > 0) this.root.below = this.lowers.attributes(0, []);
    } else if (stat.btimeSec !== stat.mtimeSec || stat.btimeNsec !== stat.mtimeNsec) {
      this.root.below = belowOf(stat);
    }
  }

  /** The open fd of a directory that is here. Good until some 60 other directories were asked for. */
  fd(node: DirNode): number {
    if (this.#newest === node && node.fd !== -1) return node.fd;
    if (node.fd === -1) this.#openNode(node);
    this.#open.delete(node);
    this.#open.add(node);
    this.#newest = node;
    return node.fd;
  }

  #openNode(node: DirNode): void {
    for (const oldest of this.#open) {
      if (this.#open.size < openMax) break;
      this.#closeNode(oldest);
    }
    let near: DirNode = node;
    const names: string[] = [];
    while (near.fd === -1 && near.parent !== null) {
      names.push(near.name);
      near = near.parent;
    }
    const from = near.fd === -1 ? this.#rootFd : near.fd;
    names.reverse();
    let fd = openBelow(from, names, directoryFlags);
    if (fd === EACCES && !this.privileged && node.parent !== null) {
      fchmodat(this.fd(node.parent), bytesOf(node.name), 0o700);
      fd = openBelow(this.fd(node.parent), [node.name], directoryFlags);
      node.widened = true;
      node.dirty = true;
    }
    node.fd = check(fd, 'openat2', bytesOf(node.name));
    if (!this.privileged) this.#widen(node);
  }

  /** Case 30: who is not root cannot fill a read-only directory; its mode is put right at the end. */
  #widen(node: DirNode): void {
    const mode = fstat(node.fd).mode & 0o7777;
    if ((mode & 0o700) === 0o700) return;
    fchmod(node.fd, mode | 0o700);
    node.widened = true;
    node.dirty = true;
  }

  #closeNode(node: DirNode): void {
    this.#open.delete(node);
    if (this.#newest === node) this.#newest = null;
    if (node.fd !== -1) close(node.fd);
    node.fd = -1;
  }

  /** What stands at a name. Follows nothing. */
  lookup(node: DirNode, name: string): Found {
    if (node.here) {
      const stat = tryFstatat(this.fd(node), bytesOf(name), AT_SYMLINK_NOFOLLOW);
      if (stat !== null) return this.#isOwnWhiteout(node, name, stat) ? { at: 'gone' } : { at: 'here', stat };
    }
    const below = this.lookupBelow(node, name);
    return below === null ? { at: 'none' } : { at: 'below', ...below };
  }

  /** What lower layers show at a name of this directory, whatever this layer has there. Null in flat form. */
  lookupBelow(node: DirNode, name: string): Below | null {
    if (this.lowers === null || node.lowers.length === 0) return null;
    return this.lowers.find(node.lowers, [...pathOf(node), name]);
  }

  #isOwnWhiteout(node: DirNode, name: string, stat: Seen): boolean {
    if (this.form === 'flat' || node.written?.has(name)) return false;
    return (stat.mode & S_IFMT) === S_IFCHR && stat.rdevMajor === 0 && stat.rdevMinor === 0;
  }

  /** The target of a symlink that `lookup` found. */
  readlink(node: DirNode, name: string, found: Found): Buffer {
    if (found.at === 'below' && this.lowers !== null)
      return this.lowers.readlink(found.lowers[0] ?? 0, [...pathOf(node), name]);
    return readlinkat(this.fd(node), bytesOf(name));
  }

  /** The node of a directory that `lookup` found. */
  adopt(node: DirNode, name: string, found: Found): DirNode {
    const child = makeNode(node, name, found.at === 'here');
    if (found.at === 'here') {
      child.gid = found.stat.gid;
      child.below = belowOf(found.stat);
      child.defaultAcl = hasDefaultAcl(this.#attached(node, child));
      return child;
    }
    this.#attach(node, child);
    if (found.at === 'below') {
      child.lowers = found.lowers;
      child.below = this.lowers?.attributes(found.lowers[0] ?? 0, pathOf(child)) ?? null;
    }
    return child;
  }

  #attach(node: DirNode, child: DirNode): void {
    node.children ??= new Map();
    node.children.set(child.name, child);
  }

  #attached(node: DirNode, child: DirNode): number {
    this.#attach(node, child);
    return this.fd(child);
  }

  /** Makes a directory that only lower layers have exist here too, with all above it. */
  materialise(node: DirNode): void {
    const missing: DirNode[] = [];
    for (let at: DirNode | null = node; at !== null && !at.here; at = at.parent) missing.push(at);
    for (let at = missing.pop(); at !== undefined; at = missing.pop()) {
      if (at.parent === null) throw new TypeError('the root is always here');
      this.#countMade();
      mkdirat(this.fd(at.parent), bytesOf(at.name), 0o700);
      at.here = true;
      at.dirty = true;
      at.parent.dirty = true;
      at.gid = fstat(this.fd(at)).gid;
      at.defaultAcl = at.parent.defaultAcl;
    }
  }

  /**
   * Makes a new, empty directory where nothing of this layer stands. In overlay's form it is opaque
   * when lower layers have a directory of this name that must not show through (case 19).
   */
  makeDir(node: DirNode, name: string): DirNode {
    this.materialise(node);
    this.#countMade();
    mkdirat(this.fd(node), bytesOf(name), 0o700);
    const child = makeNode(node, name, true);
    this.#attach(node, child);
    child.dirty = true;
    node.dirty = true;
    // Both as the kernel hands them down: from a set-gid directory, and from one with a default ACL.
    child.gid = fstat(this.fd(child)).gid;
    child.defaultAcl = node.defaultAcl;
    const below = this.lookupBelow(node, name);
    if (below !== null && (below.stat.mode & S_IFMT) === S_IFDIR) this.makeOpaque(child);
    return child;
  }

  /** Overlay: nothing of lower layers shows through from now on. */
  makeOpaque(node: DirNode): void {
    node.lowers = [];
    if (node.opaque || this.form === 'flat') return;
    fsetxattr(this.fd(node), `${this.overlayPrefix}opaque`, Buffer.from('y'));
    node.opaque = true;
  }

  /** Removes what stands here at a name, with all below it; lower layers stay untouched. */
  remove(node: DirNode, name: string): void {
    this.forget(node, name);
    node.written?.delete(name);
    node.dirty = true;
    removeEntry(this.fd(node), bytesOf(name), this.privileged);
  }

  /** Removes a file, link or device that stands here at a name. */
  unlink(node: DirNode, name: string): void {
    unlinkat(this.fd(node), bytesOf(name));
    node.written?.delete(name);
    node.dirty = true;
  }

  /**
   * No directory stands at the name any more: takes it and all below it out of what is known. Whoever
   * makes something else there must call it, also where only a lower layer had the directory.
   */
  forget(node: DirNode, name: string): void {
    const top = node.children?.get(name);
    if (top === undefined) return;
    node.children?.delete(name);
    const nodes = [top];
    for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
      this.#closeNode(node);
      if (node.children !== null) nodes.push(...node.children.values());
      node.children = null;
      node.here = false;
    }
  }

  /** Names in a directory that is here. */
  names(node: DirNode): string[] {
    return readdirAt(this.fd(node)).map((entry) => keyOf(entry.name));
  }

  namesBelow(node: DirNode): string[] {
    return this.lowers?.names(node.lowers, pathOf(node)) ?? [];
  }

  /** Counts something made: entries, and directories that no entry names (they cost an inode as well). */
  #countMade(): void {
    this.#made++;
    if (this.#made > this.#entriesMax) throw exceeded('layerEntriesMax', this.#entriesMax);
  }

  close(): void {
    for (const node of [...this.#open]) this.#closeNode(node);
    this.lowers?.close();
    close(this.#rootFd);
  }
}

function belowOf(stat: Seen) {
  const mtime = { sec: Number(stat.mtimeSec), nsec: stat.mtimeNsec };
  return { mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, mtime, xattrs: [] };
}

const hasDefaultAcl = (fd: number): boolean => {
  try {
    return fgetxattr(fd, 'system.posix_acl_default') !== null;
  } catch {
    return false; // a file system without ACLs
  }
};
