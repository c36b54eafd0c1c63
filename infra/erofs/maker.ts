import fs from 'node:fs';
import { type Attributes, keptXattrs } from '../layer/attributes.ts';
import { type DirNode, pathOf } from '../layer/dir-node.ts';
import { corrupt, unsupported } from '../layer/errors.ts';
import { implicit } from '../layer/finish.ts';
import type { Below, Maker } from '../layer/layer-tree.ts';
import { keyOf } from '../layer/path.ts';
import type { Report } from '../layer/report.ts';
import type { Entry } from '../layer/tar.ts';
import { S_IFBLK, S_IFCHR, S_IFIFO, S_IFLNK, S_IFMT } from '../sys.ts';
import type { DataArea } from './data-area.ts';
import { ownXattrs } from './lowers.ts';
import { type FileData, type ImageNode, makeImageNode } from './node.ts';
import type { Inode } from './read.ts';
import type { ImageTree } from './tree.ts';
import { holdsXattr, type Xattr } from './xattrs.ts';

/** Makes entries in an image: their data is there already, this gives it names and attributes. */
export class ImageMaker implements Maker {
  readonly #tree: ImageTree;
  readonly #area: DataArea;
  readonly #report: Report;
  readonly #dataOf: (entry: Entry) => FileData;

  constructor(tree: ImageTree, area: DataArea, report: Report, dataOf: (entry: Entry) => FileData) {
    this.#tree = tree;
    this.#area = area;
    this.#report = report;
    this.#dataOf = dataOf;
  }

  file(node: DirNode, name: string, entry: Entry): boolean {
    return this.#add(node, name, entry, () => ({ type: 'file', data: this.#dataOf(entry) }));
  }

  symlink(node: DirNode, name: string, entry: Entry): boolean {
    return this.#add(node, name, entry, () => ({ type: 'symlink', target: entry.link }));
  }

  special(node: DirNode, name: string, entry: Entry): boolean {
    const type = entry.type === 'char' || entry.type === 'block' ? entry.type : 'fifo';
    return this.#add(node, name, entry, () => ({ type, major: entry.major, minor: entry.minor }));
  }

  link(from: DirNode, leaf: string, node: DirNode, name: string): 'made' | 'taken' | 'missing' {
    const target = from.here ? this.#tree.folder(from).children.get(leaf) : undefined;
    if (target === undefined) return 'missing';
    const { children } = this.#tree.folder(node);
    if (children.has(name)) return 'taken';
    children.set(name, target);
    return 'made';
  }

  copyUp(node: DirNode, name: string, below: Below, entry: Entry): void {
    const { lowers } = this.#tree;
    const index = below.lowers[0] ?? 0;
    const inode = lowers.must(index, [...pathOf(node), name]);
    // The other names of the file stay with the lower inode: overlayfs has no way to tell it otherwise.
    if (inode.links > 1) this.#report.warn('link_group_split', entry.path);
    this.#tree.materialise(node);
    node.dirty = true;
    const { mode, uid, gid, mtime, major, minor, xattrs } = inode;
    const kind = this.#copied(index, inode, [...pathOf(node), name]);
    const attributes = { mode: mode & 0o7777, uid, gid, mtime, xattrs: ownXattrs(xattrs) };
    this.#tree.folder(node).children.set(name, makeImageNode({ ...attributes, major, minor, ...kind }));
  }

  whiteout(node: DirNode, name: string): void {
    const mark = makeImageNode({ type: 'char', ...implicit, mode: 0 });
    this.#tree.folder(node).children.set(name, mark);
  }

  /** Also counts the names of files, now that all of them are known. */
  finish(): void {
    const nodes = [this.#tree.root];
    for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
      if (node.children !== null) nodes.push(...node.children.values());
      if (!node.here) continue;
      const folder = this.#tree.folder(node);
      const entry = node.own?.path ?? Buffer.from(`${pathOf(node).join('/')}/`, 'latin1');
      Object.assign(folder, this.#attributes(node.own ?? node.below ?? implicit, 'dir', entry));
      if (node.opaque)
        folder.xattrs = [
          ...folder.xattrs,
          { name: Buffer.from('trusted.overlay.opaque'), value: Buffer.from('y') },
        ];
    }
    countLinks(this.#tree.folder(this.#tree.root));
  }

  #add(
    node: DirNode,
    name: string,
    entry: Entry,
    kindOf: () => Pick<ImageNode, 'type'> & Partial<ImageNode>,
  ): boolean {
    const { children } = this.#tree.folder(node);
    if (children.has(name)) return false;
    const kind = kindOf();
    const attributes = this.#attributes(entry, kind.type, entry.path);
    const mode = kind.type === 'symlink' ? 0o777 : attributes.mode;
    children.set(name, makeImageNode({ ...attributes, ...kind, mode }));
    return true;
  }

  #attributes(given: Attributes, type: ImageNode['type'], entry: Buffer): Attributes {
    const { mode, uid, gid, mtime, xattrs } = given;
    if (xattrs.length === 0) return { mode, uid, gid, mtime, xattrs };
    const kept = new Map<string, Xattr>();
    for (const xattr of keptXattrs(xattrs, entry, this.#report)) {
      if (takes(type, keyOf(xattr.name)) && holdsXattr(check(xattr, entry)))
        kept.set(keyOf(xattr.name), xattr);
      else this.#report.warn('xattr_refused', entry);
    }
    return { mode, uid, gid, mtime, xattrs: [...kept.values()] };
  }

  #copied(
    index: number,
    inode: Inode,
    names: readonly string[],
  ): Pick<ImageNode, 'type'> & Partial<ImageNode> {
    const type = inode.mode & S_IFMT;
    if (type === S_IFLNK) return { type: 'symlink', target: this.#tree.lowers.readlink(index, names) };
    if (type === S_IFCHR) return { type: 'char' };
    if (type === S_IFBLK) return { type: 'block' };
    if (type === S_IFIFO) return { type: 'fifo' };
    const { fd, extents } = this.#tree.lowers.data(index, inode);
    let extent = 0;
    let done = 0;
    const body = (max: number): Buffer => {
      const { length, at } = extents[extent] ?? { length: 0, at: 0 };
      const piece = Buffer.allocUnsafe(Math.min(max, length - done));
      const read = fs.readSync(fd, piece, 0, piece.length, at + done);
      if (read === 0) throw corrupt('the image of a lower layer is cut short');
      done += read;
      if (done === length) {
        extent++;
        done = 0;
      }
      return piece.subarray(0, read);
    };
    return { type: 'file', data: this.#area.sparseFile(inode.size, extents, body) };
  }
}

/** What xattr(7) says: user xattrs are for files and directories only, default ACLs for directories, no ACLs on links. */
function takes(type: ImageNode['type'], name: string): boolean {
  if (name.startsWith('user.')) return type === 'file' || type === 'dir';
  if (name === 'system.posix_acl_default') return type === 'dir';
  if (name === 'system.posix_acl_access') return type !== 'symlink';
  return true;
}

/** Values that the kernel refuses to set would be refused when they are read: better now. */
function check(xattr: Xattr, entry: Buffer): Xattr {
  const { name, value } = xattr;
  const key = keyOf(name);
  // XATTR_NAME_MAX and XATTR_SIZE_MAX of linux/limits.h, the second less one.
  if (name.length > 255 || value.length > 0xffff) throw unsupported(`xattr ${key} is too large`, entry);
  const isAcl = key.startsWith('system.posix_acl_');
  // linux/posix_acl_xattr.h: a version, 2, then entries of eight bytes.
  const badAcl = isAcl && (value.length < 4 || value.length % 8 !== 4 || value.readUInt32LE(0) !== 2);
  // linux/capability.h: revisions 1 to 3 by the top byte, each of its own length.
  const sizes: Record<number, number> = { 1: 12, 2: 20, 3: 24 };
  const badCaps =
    key === 'security.capability' && (value.length < 4 || sizes[value.readUInt8(3)] !== value.length);
  if (badAcl || badCaps) throw corrupt(`the value of xattr ${key} makes no sense`, entry);
  return xattr;
}

function countLinks(root: ImageNode): void {
  const folders = [root];
  const names: ImageNode[] = [];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop())
    for (const child of folder.children.values()) (child.type === 'dir' ? folders : names).push(child);
  for (const node of names) node.links = 0;
  for (const node of names) node.links++;
}
