import fs from 'node:fs';
import type { DirAttributes } from '../layer/dir-node.ts';
import type { Below, Seen } from '../layer/layer-tree.ts';
import { bytesOf, keyOf } from '../layer/path.ts';
import { S_IFCHR, S_IFDIR, S_IFMT } from '../sys.ts';
import { damaged } from './damage.ts';
import { Pages } from './pages.ts';
import { ErofsImage, type Inode } from './read.ts';

/** In an image, the layer's own root is a folder of this name, as in the volumes of other drivers. */
export const rootName = 'rootfs';

const opaqueXattr = 'trusted.overlay.opaque';

interface Lower {
  fd: number;
  image: ErofsImage;
  root: Inode;
  /** Where the last look led, from the root down: the next name mostly stands in the same directory. */
  trail: { name: string; inode: Inode }[];
}

/**
 * The images of the layers below one, nearest first, read as overlayfs reads them (kernel,
 * filesystems/overlayfs.rst: whiteouts, opaque directories, merging).
 */
export class LowerImages {
  readonly #images: Lower[] = [];

  /** Opens images by their paths. `volume_damaged` for what is none. */
  constructor(paths: readonly string[]) {
    const pages = new Pages();
    try {
      for (const path of paths) this.#images.push(openImage(path, pages));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get all(): number[] {
    return this.#images.map((_, index) => index);
  }

  /**
   * What shows at `names` when these lowers are looked at, for a directory with all that merge there,
   * nearest first; null when nothing does.
   */
  find(indices: readonly number[], names: readonly string[]): Below | null {
    let top: Inode | null = null;
    const merged: number[] = [];
    for (const index of indices) {
      const inode = this.#inode(index, names);
      if (inode === null) continue;
      const directory = (inode.mode & S_IFMT) === S_IFDIR;
      if (!directory && (top !== null || isWhiteout(inode))) break;
      if (!directory) return { stat: seen(inode), lowers: [index] };
      top ??= inode;
      merged.push(index);
      if (inode.xattrs.some(({ name, value }) => keyOf(name) === opaqueXattr && keyOf(value) === 'y')) break;
    }
    return top === null ? null : { stat: seen(top), lowers: merged };
  }

  /** The inode that the nearest of these lowers has there; it must have been found. */
  must(index: number, names: readonly string[]): Inode {
    const inode = this.#inode(index, names);
    if (inode === null) throw damaged('a file that was there is gone');
    return inode;
  }

  /** All that overlayfs would show of a directory of the nearest of these lowers. */
  attributes(index: number, names: readonly string[]): DirAttributes {
    const { mode, uid, gid, mtime, xattrs } = this.must(index, names);
    return { mode: mode & 0o7777, uid, gid, mtime, xattrs: ownXattrs(xattrs) };
  }

  readlink(index: number, names: readonly string[]): Buffer {
    return this.#at(index).image.content(this.must(index, names));
  }

  /** Names that show in a directory where these lowers merge. */
  names(indices: readonly number[], names: readonly string[]): string[] {
    const candidates = new Set<string>();
    for (const index of indices) {
      const inode = this.#inode(index, names);
      if (inode === null || (inode.mode & S_IFMT) !== S_IFDIR) continue;
      for (const { name } of this.#at(index).image.entries(inode)) candidates.add(keyOf(name));
    }
    return [...candidates].filter((name) => this.find(indices, [...names, name]) !== null);
  }

  /** Where the data of a file is, and in which open image. */
  data(
    index: number,
    inode: Inode,
  ): { fd: number; extents: { offset: number; length: number; at: number }[] } {
    const { fd, image } = this.#at(index);
    return { fd, extents: image.extents(inode) };
  }

  close(): void {
    for (const { fd } of this.#images.splice(0)) fs.closeSync(fd);
  }

  #at(index: number): Lower {
    const image = this.#images[index];
    if (image === undefined) throw new RangeError(`no lower layer ${index}`);
    return image;
  }

  #inode(index: number, names: readonly string[]): Inode | null {
    const { image, root, trail } = this.#at(index);
    let inode: Inode | null = root;
    for (const [depth, name] of names.entries()) {
      const known = trail[depth];
      if (known?.name === name) inode = known.inode;
      else {
        trail.length = depth;
        inode = image.lookup(inode, bytesOf(name));
        if (inode === null) return null;
        trail.push({ name, inode });
      }
    }
    return inode;
  }
}

function openImage(path: string, pages: Pages): Lower {
  const fd = fs.openSync(path, 'r');
  try {
    const image = new ErofsImage(fd, pages);
    const root = image.lookup(image.root, Buffer.from(rootName));
    if (root === null) throw damaged(`the image has no ${rootName}`);
    return { fd, image, root, trail: [] };
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

/** The xattrs that are the image's, not overlayfs's. */
export const ownXattrs = (xattrs: Inode['xattrs']): { name: Buffer; value: Buffer }[] =>
  xattrs.filter(({ name }) => keyOf(name) !== opaqueXattr);

const isWhiteout = ({ mode, major, minor }: Inode): boolean =>
  (mode & S_IFMT) === S_IFCHR && major === 0 && minor === 0;

const seen = (inode: Inode): Seen => ({
  mode: inode.mode,
  uid: inode.uid,
  gid: inode.gid,
  nlink: inode.links,
  size: inode.size,
  mtimeSec: BigInt(inode.mtime.sec),
  mtimeNsec: inode.mtime.nsec,
  rdevMajor: inode.major,
  rdevMinor: inode.minor,
});
