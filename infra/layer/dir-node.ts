import type { Time } from './numbers.ts';
import type { Xattr } from './pax.ts';
import type { Entry } from './tar.ts';

/** What a directory looks like when its layer says nothing of it. */
export interface DirAttributes {
  mode: number;
  uid: number;
  gid: number;
  mtime: Time;
  xattrs: Xattr[];
}

/**
 * A directory of the tree that a layer is applied to, by its one true place: the names from the root
 * down are real directories, never links. So a node stays right until the directory is removed, and
 * removing it (only `Tree.remove` does) takes the node out: there is no cache of paths that a replaced
 * directory could turn into a lie (CVE-2021-32803).
 */
export interface DirNode {
  /** Bytes as latin1. */
  readonly name: string;
  readonly parent: DirNode | null;
  /** Known directories in it; null for none. */
  children: Map<string, DirNode> | null;
  /** It exists in the volume. False for a directory that only a lower layer of an overlay has, so far. */
  here: boolean;
  /** Open fd, or -1. Ask `Tree.fd`. */
  fd: number;
  /** Group as on the disk now: new files take it over from a set-gid directory. */
  gid: number;
  /** A default ACL is on the directory: new files must be cleaned of what they inherit. */
  defaultAcl: boolean;
  /** Names that entries of this layer made here, and directories on the way to such: whiteouts spare them. */
  written: Set<string> | null;
  /** Made on the way to an entry, when no entry had named it yet. */
  implied: boolean;
  /** The layer's own entry for it, the last one. */
  own: Entry | null;
  /** How it looks below this layer; null for a directory that is new, or whose lower one was deleted. */
  below: DirAttributes | null;
  /** Overlay: the lower layers, by index, whose directory of this name shows through. */
  lowers: readonly number[];
  /** Overlay: marked so that nothing shows through. */
  opaque: boolean;
  /** Its attributes must be set at the end. */
  dirty: boolean;
  /** The mode on the disk was widened so that a user who is not root can work in it. */
  widened: boolean;
}

/** A node that stands for a directory; the caller has put it where it belongs. */
export function makeNode(parent: DirNode | null, name: string, here: boolean): DirNode {
  return {
    name,
    parent,
    children: null,
    here,
    fd: -1,
    gid: 0,
    defaultAcl: false,
    written: null,
    implied: false,
    own: null,
    below: null,
    lowers: [],
    opaque: false,
    dirty: false,
    widened: false,
  };
}

/** The names from the root down. */
export function pathOf(node: DirNode): string[] {
  const names: string[] = [];
  for (let at: DirNode | null = node; at?.parent; at = at.parent) names.push(at.name);
  return names.reverse();
}

/** Remembers that this layer made `name` in the directory, and so the directory and all above it (case 21). */
export function markWritten(node: DirNode, name: string): void {
  let at: DirNode | null = node;
  let leaf = name;
  while (at !== null && !at.written?.has(leaf)) {
    at.written ??= new Set();
    at.written.add(leaf);
    leaf = at.name;
    at = at.parent;
  }
}
