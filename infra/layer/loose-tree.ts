import { Tree } from './tree.ts';

/** Thrown where what a layer does cannot be told without the layers below it. */
export class NeedsBelow extends Error {
  override readonly name = 'NeedsBelow';
}

/**
 * The tree of a layer that is unpacked before it is known what lies below, in overlay's form. To it nothing
 * does; what would come out otherwise if something did, and cannot be mended later, ends it: anything
 * that stands where something else of the same layer stood.
 */
export class LooseTree extends Tree {
  /** There may be: what this layer writes is remembered, for whiteouts to spare. */
  override readonly hasBelow: boolean = true;

  constructor(rootfs: string, entriesMax: number) {
    super({ rootfs, form: 'overlay', lowers: [], privileged: true, entriesMax });
  }

  override remove(): never {
    throw new NeedsBelow('an entry that replaces another');
  }

  override unlink(): never {
    throw new NeedsBelow('a file on the way to an entry');
  }
}
