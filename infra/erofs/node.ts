import type { fileTypes } from './format.ts';

/** What stands in the tree of an image that is about to be written. */
export interface ImageNode {
  type: keyof typeof fileTypes;
  /** Permission bits, with set-uid, set-gid and sticky. */
  mode: number;
  uid: number;
  gid: number;
  mtime: { sec: number; nsec: number };
  xattrs: readonly { name: Buffer; value: Buffer }[];
  /** Names of it, for what is no directory. */
  links: number;
  /** Of a file. */
  data: FileData;
  /** Of a symlink. */
  target: Buffer;
  /** Of a device. */
  major: number;
  minor: number;
  /** Of a directory, by the bytes of the name as latin1. */
  children: Map<string, ImageNode>;
}

/** Where the bytes of a file are in the image: block numbers. */
export type FileData =
  | { kind: 'run'; size: number; block: number }
  /** `blocks`: for each chunk of `1 << chunkBits` blocks where it begins, or `nullBlock` for a hole. */
  | { kind: 'chunks'; size: number; chunkBits: number; blocks: readonly number[] };

export const noData: FileData = { kind: 'run', size: 0, block: 0 };
const nothing = Buffer.alloc(0);
const noXattrs: ImageNode['xattrs'] = [];
/** Of what is no directory. A map for each would be most of the memory that a tree takes. */
const noChildren = new Map<string, ImageNode>();

/** A node with the fields that its type does not use left empty. All have one shape, which V8 wants. */
export function makeImageNode(
  given: Pick<ImageNode, 'type' | 'mode' | 'uid' | 'gid' | 'mtime'> & Partial<ImageNode>,
): ImageNode {
  return {
    type: given.type,
    mode: given.mode,
    uid: given.uid,
    gid: given.gid,
    mtime: given.mtime,
    xattrs: given.xattrs ?? noXattrs,
    links: given.links ?? 1,
    data: given.data ?? noData,
    target: given.target ?? nothing,
    major: given.major ?? 0,
    minor: given.minor ?? 0,
    children: given.children ?? (given.type === 'dir' ? new Map() : noChildren),
  };
}
