import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { fileError, isSystemError } from '../durable.ts';
import { type Applied, Applier, type ApplyLimits, drain, naming } from '../layer/apply.ts';
import { exceeded } from '../layer/errors.ts';
import { Report } from '../layer/report.ts';
import type { BlockReader } from '../layer/source.ts';
import { type Entry, TarReader } from '../layer/tar.ts';
import { DataArea } from './data-area.ts';
import { blockBytes } from './format.ts';
import { LowerImages } from './lowers.ts';
import { ImageMaker } from './maker.ts';
import { type FileData, noData } from './node.ts';
import { ImageTree } from './tree.ts';
import { finishImage } from './write.ts';

export interface ImageTarget {
  form: 'image';
  /** The image to make; it must not be there. */
  path: string;
  /** The images of the layers below, nearest first. */
  lowers: readonly string[];
}

/**
 * Makes one EROFS image of a layer's raw tar, in one pass: the data of files is appended as it comes;
 * what the names mean over the layers below is settled afterwards, from headers alone. Nothing is
 * unpacked. The image is on the disk at the end; its name is not. Same rules, limits and errors as
 * `applyLayer` in overlay's form.
 */
export function applyToImage(
  blocks: BlockReader,
  target: ImageTarget,
  limits: ApplyLimits,
  onEntry: (entries: number) => void = () => {},
): Applied {
  const report = new Report();
  return withImage(target.path, 'wx+', (fd) => {
    const area = new DataArea(fd, blockBytes);
    const all: Taken[] = [];
    takeIn(blocks, area, limits, report, onEntry, (taken) => all.push(taken));
    return settle(fd, area, [all], target, limits, report);
  });
}

/** An entry whose data, if it has any, is in the image. */
export interface Taken {
  entry: Entry;
  data: FileData | null;
}

/** Gives entries, in batches, their names over the layers below, and makes the image whole. */
export function settle(
  fd: number,
  area: DataArea,
  batches: Iterable<readonly Taken[]>,
  target: ImageTarget,
  limits: ApplyLimits,
  report: Report,
): Applied {
  const lowers = new LowerImages(target.lowers);
  try {
    const tree = new ImageTree(lowers, limits.layerEntriesMax);
    let data: FileData | null = null;
    const maker = new ImageMaker(tree, area, report, () => data ?? noData);
    const applier = new Applier({ tree, maker, report, limits }, limits);
    for (const batch of batches)
      for (const taken of batch) {
        data = taken.data;
        applier.apply(taken.entry);
      }
    maker.finish();
    finishImage(fd, area, tree.top(), uuidOf(target.path));
    fs.fsyncSync(fd);
    return { entries: applier.entries, bytes: applier.physical, report };
  } finally {
    lowers.close();
  }
}

/** Opens the image at `path` for `work`. What the system refused, and nobody has named, gets its path: a full disk is one. */
export function withImage<T>(path: string, flags: 'wx+' | 'r+', work: (fd: number) => T): T {
  try {
    const fd = fs.openSync(path, flags, 0o600);
    try {
      return work(fd);
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    throw isSystemError(error) ? fileError(error, 'write', path) : error;
  }
}

/** Overlayfs tells its lower file systems apart by their UUIDs. */
export const uuidOf = (path: string): Buffer => createHash('sha256').update(path).digest().subarray(0, 16);

/** The pass over the layer: the data of files goes straight into the image, every header to `keep`. */
export function takeIn(
  blocks: BlockReader,
  area: DataArea,
  limits: ApplyLimits,
  report: Report,
  onEntry: (entries: number) => void,
  keep: (taken: Taken) => void,
): void {
  const reader = new TarReader(blocks, limits, report);
  let entries = 0;
  let physical = 0;
  for (let entry = reader.next(); entry !== null; entry = reader.next()) {
    onEntry(entries);
    entries++;
    const { path, size, stored } = entry;
    if (entries > limits.layerEntriesMax) throw exceeded('layerEntriesMax', limits.layerEntriesMax, path);
    if (entry.type === 'file') physical += stored;
    // The other limits are kept when the entry gets its place; these are for the disk, and now.
    if (physical > limits.layerPhysicalBytesMax)
      throw exceeded('layerPhysicalBytesMax', limits.layerPhysicalBytesMax, path);
    if (size > limits.layerLogicalBytesMax)
      throw exceeded('layerLogicalBytesMax', limits.layerLogicalBytesMax, path);
    keep({ entry, data: entry.type === 'file' ? takeData(entry, reader, area) : null });
  }
  drain(blocks, limits.trailingBytesMax, report);
}

function takeData(entry: Entry, reader: TarReader, area: DataArea): FileData {
  const { size, sparse } = entry;
  const body = (max: number): Buffer => reader.body(max);
  return naming(entry, () =>
    sparse === null ? area.file(size, body) : area.sparseFile(sparse.realSize, sparse.fragments, body),
  );
}
