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

/** A node with the fields that its type does not use left empty. */
export function makeImageNode(
  fields: Pick<ImageNode, 'type' | 'mode' | 'uid' | 'gid' | 'mtime'> & Partial<ImageNode>,
): ImageNode {
  return {
    xattrs: [],
    links: 1,
    data: noData,
    target: nothing,
    major: 0,
    minor: 0,
    children: new Map(),
    ...fields,
  };
}
