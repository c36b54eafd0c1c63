import type { Stat } from '../sys.ts';
import type { DirNode } from './dir-node.ts';
import type { Entry } from './tar.ts';

/** What is to be known of a file that is there. */
export type Seen = Pick<
  Stat,
  'mode' | 'uid' | 'gid' | 'nlink' | 'size' | 'mtimeSec' | 'mtimeNsec' | 'rdevMajor' | 'rdevMinor'
>;

/** Something that only lower layers of an overlay have; `lowers` says which. */
export interface Below {
  stat: Seen;
  lowers: readonly number[];
}

/** What stands at a name of a directory, as the image shows it. */
export type Found =
  | { at: 'none' }
  /** Overlay: a whiteout of this layer hides what lower layers have. */
  | { at: 'gone' }
  | { at: 'here'; stat: Seen }
  /** Overlay: only lower layers have it. */
  | ({ at: 'below' } & Below);

/** A tree that a layer is applied to: its known directories, and what can be done in them. */
export interface LayerTree {
  readonly root: DirNode;
  readonly form: 'flat' | 'overlay';
  readonly privileged: boolean;
  /** Something was there before this layer, or may be: whiteouts have work to do. */
  readonly hasBelow: boolean;
  /** What stands at a name. Follows nothing. */
  lookup(node: DirNode, name: string): Found;
  /** What lower layers show at a name of this directory, whatever this layer has there. Null in flat form. */
  lookupBelow(node: DirNode, name: string): Below | null;
  /** The target of a symlink that `lookup` found. */
  readlink(node: DirNode, name: string, found: Found): Buffer;
  /** The node of a directory that `lookup` found. */
  adopt(node: DirNode, name: string, found: Found): DirNode;
  /** Makes a directory that only lower layers have exist here too, with all above it. */
  materialise(node: DirNode): void;
  /** Makes a new, empty directory where nothing of this layer stands; opaque where lower layers have one (case 19). */
  makeDir(node: DirNode, name: string): DirNode;
  /** Overlay: nothing of lower layers shows through from now on. */
  makeOpaque(node: DirNode): void;
  /** Removes what stands here at a name, with all below it; lower layers stay untouched. */
  remove(node: DirNode, name: string): void;
  /** Removes a file, link or device that stands here at a name. */
  unlink(node: DirNode, name: string): void;
  /** No directory stands at the name any more: takes it and all below it out of what is known. */
  forget(node: DirNode, name: string): void;
  /** Names in a directory that is here. */
  names(node: DirNode): string[];
  /** Names that lower layers show in a directory. */
  namesBelow(node: DirNode): string[];
}

/**
 * Makes what entries ask for, with their attributes. What makes something new gives false, and makes
 * nothing, when anything is at the name already.
 */
export interface Maker {
  /** A regular file, always a new inode, with the data of the entry that is being read. */
  file(node: DirNode, name: string, entry: Entry): boolean;
  symlink(node: DirNode, name: string, entry: Entry): boolean;
  /** A device or FIFO. */
  special(node: DirNode, name: string, entry: Entry): boolean;
  /** Another name for a file that is here; `missing` when it is not. */
  link(from: DirNode, leaf: string, node: DirNode, name: string): 'made' | 'taken' | 'missing';
  /** Overlay, case 15: brings a file that only a lower layer has up here. */
  copyUp(node: DirNode, name: string, below: Below, entry: Entry): void;
  /** Overlay: a mark that nothing of lower layers shows at a name. */
  whiteout(node: DirNode, name: string): void;
  /** Gives directories their attributes, once nothing is made in them any more. */
  finish(): void;
}
