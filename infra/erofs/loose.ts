import { Applier, type ApplyLimits } from '../layer/apply.ts';
import type { DirNode } from '../layer/dir-node.ts';
import { NeedsBelow } from '../layer/loose-tree.ts';
import { type LayerWarning, Report } from '../layer/report.ts';
import type { Taken } from './apply.ts';
import type { DataArea } from './data-area.ts';
import { LowerImages } from './lowers.ts';
import { ImageMaker } from './maker.ts';
import { type FileData, noData } from './node.ts';
import { ImageTree } from './tree.ts';
import { finishImage } from './write.ts';

/** The tree of a layer before it is known what lies below; nothing may stand where something else stood. */
class LooseTree extends ImageTree {
  constructor(entriesMax: number) {
    super(new LowerImages([]), entriesMax);
  }

  override remove(): never {
    throw new NeedsBelow('an entry that replaces another');
  }

  override unlink(): never {
    throw new NeedsBelow('a file on the way to an entry');
  }
}

/**
 * The names of a layer while it comes. Most layers name every directory that they are in, delete nothing and
 * link to nothing of others: such a one is the same image whatever lies below.
 */
export class LooseImage {
  readonly #tree: LooseTree;
  readonly #maker: ImageMaker;
  readonly #applier: Applier;
  readonly #report = new Report();
  #data: FileData | null = null;
  #needsBelow = false;

  constructor(area: DataArea, limits: ApplyLimits) {
    const tree = new LooseTree(limits.layerEntriesMax);
    const maker = new ImageMaker(tree, area, this.#report, () => this.#data ?? noData);
    const placing = { tree, maker, report: this.#report, limits };
    this.#applier = new Applier(placing, limits, () => {
      throw new NeedsBelow('a deletion');
    });
    this.#tree = tree;
    this.#maker = maker;
  }

  /** Whatever is wrong with an entry is told by who knows the layers below. */
  take({ entry, data }: Taken): void {
    if (this.#needsBelow) return;
    this.#data = data;
    try {
      this.#applier.apply(entry);
    } catch {
      this.#needsBelow = true;
    }
  }

  /**
   * Makes the image whole if it is so without the layers below, but for its UUID; else it writes nothing and gives
   * null. The data is all there. `warnings` are those of reading the layer.
   */
  finish(
    fd: number,
    area: DataArea,
    warnings: readonly LayerWarning[],
  ): { entries: number; bytes: number; warnings: LayerWarning[] } | null {
    if (this.#needsBelow || !isNamed(this.#tree.root)) return null;
    try {
      this.#maker.finish();
    } catch {
      return null;
    }
    finishImage(fd, area, this.#tree.top(), noUuid);
    const { entries, physical: bytes } = this.#applier;
    return { entries, bytes, warnings: this.#report.joined(warnings) };
  }
}

const noUuid = Buffer.alloc(16);

/** Whether the layer has an entry for each directory, before anything in it. */
function isNamed(root: DirNode): boolean {
  const nodes = [root];
  for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
    if (node.own === null || node.implied) return false;
    if (node.children !== null) nodes.push(...node.children.values());
  }
  return true;
}
